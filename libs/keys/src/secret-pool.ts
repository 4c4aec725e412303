import { assert } from "@kiseki/base";
import type { OpenSecret, Secret } from "./secret.ts";

/** What every key of the tree has. */
const slotSize = 32;

interface Block {
  readonly memory: Secret;
  readonly free: number[];
}

/**
 * Secrets of 32 bytes cut from larger ones: memory is locked by the page, and its limit is small.
 * `blockSize` is a multiple of 32. A block is given back when its last secret is disposed.
 */
export function poolSecrets(
  open: OpenSecret,
  wipe: (secret: Uint8Array) => void,
  blockSize = 4096,
): OpenSecret {
  assert(blockSize >= slotSize && blockSize % slotSize === 0, "a block is cut into whole secrets");
  const blocks = new Set<Block>();
  const slotCount = blockSize / slotSize;
  const blockWithRoom = (): Block => {
    for (const block of blocks) if (block.free.length > 0) return block;
    const block = { memory: open(blockSize), free: Array.from({ length: slotCount }, (_, i) => i) };
    blocks.add(block);
    return block;
  };
  return (size) => {
    assert(size === slotSize, "a pooled secret has 32 bytes");
    const block = blockWithRoom();
    const slot = block.free.pop();
    assert(slot !== undefined, "a block with room has a slot");
    const offset = slot * slotSize;
    let isHeld = true;
    return {
      get bytes() {
        assert(isHeld, "the secret is still held");
        return block.memory.bytes.subarray(offset, offset + slotSize);
      },
      [Symbol.dispose]() {
        if (!isHeld) return;
        isHeld = false;
        wipe(block.memory.bytes.subarray(offset, offset + slotSize));
        block.free.push(slot);
        if (block.free.length < slotCount) return;
        blocks.delete(block);
        block.memory[Symbol.dispose]();
      },
    };
  };
}

import { millis, type Prng } from "@kiseki/base";
import type { NewContent } from "@kiseki/composition";
import type { ContentSource } from "@kiseki/node/sim";
import { ackMin, fragmentCount } from "@kiseki/placement";
import { must, type SimNode } from "./sim-node.ts";

/** Bytes of a made-up body, a slice at a time, now and then after a pause. */
export class SimSource implements ContentSource {
  readonly #bytes: Uint8Array;
  readonly #prng: Prng;
  readonly #node: SimNode;
  #at = 0;
  constructor(node: SimNode, prng: Prng, bytes: Uint8Array) {
    this.#node = node;
    this.#prng = prng;
    this.#bytes = bytes;
  }
  async readInto(target: Uint8Array): Promise<number> {
    if (this.#prng.chance(1, 8))
      await this.#node.ports.clock.sleep(millis(1 + this.#prng.below(5)), this.#node.signal);
    const size = Math.min(
      target.byteLength,
      this.#bytes.byteLength - this.#at,
      4096 + this.#prng.below(8192),
    );
    target.set(this.#bytes.subarray(this.#at, this.#at + size));
    this.#at += size;
    return size;
  }
}

/** What is acknowledged survives the loss of one more device (STORE §4). */
export function checkThickness(content: NewContent): void {
  const seals =
    content.kind === "small"
      ? [{ profile: content.ref.profile, missing: content.ref.missing }]
      : content.kind === "extents"
        ? content.extents.map(({ profile, seal }) => ({ profile, missing: seal?.missing ?? 0 }))
        : [];
  for (const { profile, missing } of seals) {
    must(
      fragmentCount(profile) - missing >= ackMin(profile),
      `a stored chunk has one fragment more than it needs (${missing} are missing)`,
    );
  }
}

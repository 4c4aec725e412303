import { expect, test } from "bun:test";
import type { StagedFiles } from "@kiseki/vfs";
import { FakeNode } from "./fake-service.test-helper.ts";
import {
  close,
  create,
  good,
  lookup,
  type Mounted,
  mountOn,
  open,
  readAt,
  readOnly,
  text,
  utf8,
} from "./mount.test-helper.ts";

/** One file that is staged, until `isGone`. */
class OneImage implements StagedFiles {
  readonly #inode: bigint;
  readonly #content: Uint8Array;
  isGone = false;
  opened = 0;
  constructor(inode: number, content: string) {
    this.#inode = BigInt(inode);
    this.#content = utf8(content);
  }
  view(inode: bigint) {
    if (inode !== this.#inode || this.isGone) return undefined;
    return { size: this.#content.byteLength, modified: 5n };
  }
  open(inode: bigint) {
    const view = this.view(inode);
    if (view === undefined) return undefined;
    this.opened += 1;
    return {
      ...view,
      descriptor: -1,
      paths: ["/f"],
      read: (offset: number, target: Uint8Array) => {
        if (this.isGone) return false;
        target.set(this.#content.subarray(offset, offset + target.byteLength));
        return true;
      },
      close: () => void (this.opened -= 1),
    };
  }
}

interface Bed {
  readonly node: FakeNode;
  readonly other: Mounted;
  readonly image: OneImage;
  readonly number: number;
}
/** A file `f` of "staged", which another mount has changed since. */
async function bed(): Promise<Bed> {
  const node = new FakeNode();
  const other = await mountOn(node.open());
  const { handle, node: number } = await create(other.fs, "f");
  await good(other.fs.write(handle, 0, utf8("changed since")));
  await close(other.fs, handle);
  return { node, other, image: new OneImage(number, "staged"), number };
}
const readF = async ({ fs }: Mounted): Promise<string> => {
  const handle = await open(fs, "f", readOnly);
  const found = text(await readAt(fs, handle, 0, 100));
  await close(fs, handle);
  return found;
};

test("a staged file is shown and read as it was when it was staged", async () => {
  const { node, image, other, number } = await bed();
  const mount = await mountOn(node.open(), { isReadOnly: true }, image);
  expect((await lookup(mount.fs, "f")).attributes).toMatchObject({ size: 6, modified: 5n });
  expect(await readF(mount)).toBe("staged");
  const handle = await open(mount.fs, "f", readOnly);
  expect(text(await readAt(mount.fs, handle, 3, 2))).toBe("ge");
  expect(await readAt(mount.fs, handle, 6, 2)).toHaveLength(0);
  expect(await good(mount.fs.lseek(handle, 2, "data"))).toBe(2);
  expect(await good(mount.fs.lseek(handle, 2, "hole"))).toBe(6);
  // What others do to it meanwhile is not seen.
  const writing = await open(other.fs, "f");
  await good(other.fs.write(writing, 0, utf8("once more, and longer")));
  await close(other.fs, writing);
  await mount.clock.pass(10_000);
  expect((await good(mount.fs.getattr(number))).attributes.size).toBe(6);
  expect(text(await readAt(mount.fs, handle, 0, 100))).toBe("staged");
  await close(mount.fs, handle);
  expect(image.opened).toBe(0);
});

test("a mount that changes a staged file sees what it wrote over what the nodes have", async () => {
  const { node, image } = await bed();
  const mount = await mountOn(node.open(), {}, image);
  const reading = await open(mount.fs, "f", readOnly);
  expect(text(await readAt(mount.fs, reading, 0, 100))).toBe("staged");
  const handle = await open(mount.fs, "f");
  await good(mount.fs.write(handle, 0, utf8("CHANGED")));
  expect(text(await readAt(mount.fs, reading, 0, 100))).toBe("CHANGED since");
  await close(mount.fs, handle);
  expect((await lookup(mount.fs, "f")).attributes.size).toBe(13);
  await close(mount.fs, reading);
  expect(await readF(mount)).toBe("CHANGED since");
  expect(image.opened).toBe(0);
});

test("an image that is lost gives way to the nodes, and the kernel is told", async () => {
  const { node, image, number } = await bed();
  const mount = await mountOn(node.open(), { isReadOnly: true }, image);
  const handle = await open(mount.fs, "f", readOnly);
  expect(text(await readAt(mount.fs, handle, 0, 100))).toBe("staged");
  image.isGone = true;
  expect(text(await readAt(mount.fs, handle, 0, 100))).toBe("changed since");
  expect((await lookup(mount.fs, "f")).attributes.size).toBe(13);
  await mount.clock.pass(1);
  expect(mount.told).toContain(`node ${number} 0`);
  await close(mount.fs, handle);
  expect(image.opened).toBe(0);
});

test("wipe() leaves nothing of before to be served, in memory, of images, or by the kernel", async () => {
  const { node, image, number } = await bed();
  const mount = await mountOn(node.open(), { isReadOnly: true }, image);
  const plain = await mountOn(node.open());
  const handles = [
    await open(mount.fs, "f", readOnly),
    await open(plain.fs, "f", readOnly),
  ] as const;
  await readAt(mount.fs, handles[0], 0, 100);
  await readAt(plain.fs, handles[1], 0, 100);
  const target = new Uint8Array(100);
  expect(plain.fs.read(handles[1], 0, target)).toBe(13);
  image.isGone = true;
  for (const { fs, told } of [mount, plain]) {
    fs.wipe();
    expect(told).toContain(`node ${number} 0`);
  }
  expect(plain.fs.read(handles[1], 0, target)).toBeInstanceOf(Promise);
  expect(text(await readAt(mount.fs, handles[0], 0, 100))).toBe("changed since");
});

test("an image that the kernel reads by itself stays until the last handle is closed", async () => {
  const { node, image } = await bed();
  const mount = await mountOn(node.open(), { isReadOnly: true, passSizeMin: 6 }, image);
  const { node: number } = await lookup(mount.fs, "f");
  const first = await good(mount.fs.open(number, readOnly));
  expect(first.descriptor).toBe(-1);
  image.isGone = true;
  mount.fs.wipe();
  expect(image.opened).toBe(1);
  const next = await good(mount.fs.open(number, readOnly));
  expect(next.descriptor).toBeUndefined();
  for (const { handle } of [first, next]) {
    expect(text(await readAt(mount.fs, handle, 0, 100))).toBe("changed since");
    await close(mount.fs, handle);
  }
  expect(image.opened).toBe(0);
});

test("an image that is small is read by requests, and closed as soon as it is lost", async () => {
  const { node, image } = await bed();
  const mount = await mountOn(node.open(), { isReadOnly: true, passSizeMin: 7 }, image);
  const { node: number } = await lookup(mount.fs, "f");
  const { handle, descriptor } = await good(mount.fs.open(number, readOnly));
  expect([descriptor, image.opened]).toEqual([undefined, 1]);
  image.isGone = true;
  mount.fs.wipe();
  expect(image.opened).toBe(0);
  await close(mount.fs, handle);
});

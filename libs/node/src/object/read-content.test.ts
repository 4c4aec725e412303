import { expect, test } from "bun:test";
import { millis } from "@kiseki/base";
import {
  makeBucket,
  makeDevices,
  openAt,
  openReader,
  put,
  temporaryFolder,
} from "../keys/bed.test-helper.ts";

test("ContentReader ends a read that took a day, and lets garbage go", async () => {
  await using folder = await temporaryFolder();
  await using node = await openAt(folder.path, undefined, await makeDevices(folder.path, 1));
  await makeBucket(node);
  await put(node, "long", new Uint8Array(5 << 20).fill(7));
  let passed = 0;
  const { clock } = node.ports;
  const monotonic = () => millis(clock.monotonic() + passed);
  const ports = { ...node.ports, clock: { ...clock, monotonic } };
  const tenant = await node.openDefaultTenant(new AbortController().signal);
  {
    using reader = await openReader(node, "long", undefined, "read", ports);
    const all = tenant.readers.allLeft();
    let isLeft = false;
    void all.then(() => (isLeft = true));
    expect((await reader.next())?.byteLength).toBe(1 << 20);
    passed = 23 * 3600 * 1000;
    expect((await reader.next())?.byteLength).toBe(1 << 20);
    expect(isLeft).toBe(false);
    passed += 2 * 3600 * 1000;
    expect(reader.next()).rejects.toThrow("24 hours");
  }
  await tenant.readers.allLeft();
});

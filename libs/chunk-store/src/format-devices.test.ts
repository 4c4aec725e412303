import { expect, test } from "bun:test";
import { newBytes, toUtf8 } from "@kiseki/base";
import { SimDisk } from "@kiseki/sim";
import { formatDevices } from "./format-devices.ts";
import { TestPool } from "./store.fixture.ts";

/** What stands where. */
const used = {
  "an ext4 file system": [0x438, new Uint8Array([0x53, 0xef])],
  "an XFS file system": [0, toUtf8("XFSB")],
} as const;

async function codeOf(pool: TestPool, force: boolean): Promise<string> {
  const options = { clusterId: pool.cluster, nodeId: newBytes(16), zoneSize: 128 * 1024, force };
  try {
    await formatDevices(pool.ports, { ...options, devices: [{ path: "new" }] });
    return "formatted";
  } catch (reason) {
    return reason instanceof Error && "code" in reason ? String(reason.code) : String(reason);
  }
}
async function withDisk(content: Uint8Array, offset: number): Promise<TestPool> {
  const pool = await TestPool.make(1, 1);
  const disk = new SimDisk(pool.prng, 2 * 1024 * 1024);
  disk.restore(content, offset);
  pool.disks.set("new", disk);
  return pool;
}

for (const [what, [offset, bytes]] of Object.entries(used)) {
  test(`formatDevices() refuses ${what}, forced or not`, async () => {
    const pool = await withDisk(bytes, offset);
    expect(await codeOf(pool, false)).toBe("foreign_signature");
    expect(await codeOf(pool, true)).toBe("foreign_signature");
  });
}

test("formatDevices() takes a device of ours when forced, of another version never", async () => {
  const pool = await withDisk(new Uint8Array(1), 0);
  expect(await codeOf(pool, false)).toBe("formatted");
  expect(await codeOf(pool, false)).toBe("already_formatted");
  expect(await codeOf(pool, true)).toBe("formatted");
  const disk = pool.disks.get("new")!;
  const version = newBytes(1);
  disk.read(8, version);
  version[0]! ^= 0xff;
  disk.restore(version, 8);
  expect(await codeOf(pool, true)).toBe("unknown_version");
});

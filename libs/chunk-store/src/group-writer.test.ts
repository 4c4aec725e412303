import { expect, test } from "bun:test";
import {
  chunkId,
  deviceId,
  epoch,
  newBytes,
  operationId,
  prngFromSeed,
  sealId,
  shardId,
  tenantId,
} from "@kiseki/base";
import { deviceDataOffset, recordHeaderSize } from "@kiseki/format";
import { SimDatapath, SimDisk } from "@kiseki/sim";
import { Device } from "./device.ts";
import { GroupWriter, type RecordPlace } from "./group-writer.ts";
import { crypto } from "./store.fixture.ts";
import { ZoneTable } from "./zone-table.ts";

const never = new AbortController().signal;
const zoneSize = 128 * 1024;
const chunk = {
  tenant: tenantId(newBytes(16)),
  shard: shardId(newBytes(16)),
  epoch: epoch(1n),
  operationId: operationId(newBytes(16)),
  chunkId: chunkId(newBytes(32)),
  sealId: sealId(newBytes(16)),
  plainSize: 100,
  keyset: 1,
};

/** A device of one zone. */
async function makeWriter() {
  const prng = prngFromSeed(1);
  const disk = new SimDisk(prng, deviceDataOffset + zoneSize);
  const datapath = new SimDatapath(prng, crypto, new Map([["disk", disk]]));
  const id = deviceId(newBytes(16).fill(1));
  const given = { id, ordinal: 0, class: "ssd", size: disk.size, reason: undefined } as const;
  const device = new Device({ ...given, state: "healthy" });
  device.slot = (await datapath.openDevice({ path: "disk", direct: false })).slot;
  device.zones = new ZoneTable(1, zoneSize);
  const writer = new GroupWriter({
    ...{ device, datapath, crypto, clock: {}, sync: true, groupLast: 0, resume: undefined },
    staging: await datapath.arena.borrow(GroupWriter.stagingSize, never),
    failed: () => undefined,
    timed: (work) => work,
    rolled: () => undefined,
  });
  return { datapath, writer };
}

test("enqueue() leaves the rest of the open zone to compaction when no zone is free", async () => {
  const { datapath, writer } = await makeWriter();
  const write = async (zonesLeft: number): Promise<RecordPlace | string> => {
    const lease = await datapath.arena.borrow(4096, never);
    const { promise, resolve: settle } = Promise.withResolvers<RecordPlace | string>();
    const payload = { payloadOffset: recordHeaderSize, payloadSize: 128, payloadCrc: 0 };
    const kind = { kind: "copy", index: 0, data: 0, parity: 1, headerInPlace: true } as const;
    writer.enqueue({ chunk, lease, ...kind, ...payload, zonesLeft, settle });
    return await promise;
  };
  expect(await write(0)).toMatchObject({ zone: 0, group: 1 });
  expect(await Promise.all([0, 2, 1, 0].map(write))).toMatchObject([
    { group: 2 },
    "no_space", // a put's
    "no_space", // a repair's
    { group: 3 },
  ]);
});

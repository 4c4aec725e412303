import { expect, test } from "bun:test";
import { chunkId, epoch, newBytes, sealId, tenantId, wallTime } from "@kiseki/base";
import type { ChunkCapability, WriteReceipt } from "@kiseki/format";
import { openCrypto } from "@kiseki/host";
import { ChunkTickets } from "./chunk-tickets.ts";

const keysOf = (byte: number) => ({
  capabilityKey: () => newBytes(32).fill(byte),
  receiptKey: () => newBytes(32).fill(byte + 1),
});
const crypto = openCrypto();
const tickets = new ChunkTickets(crypto, keysOf(1));
const others = new ChunkTickets(crypto, keysOf(2));
const chunk = chunkId(newBytes(32).fill(3));
const seal = sealId(newBytes(16).fill(4));
const tenant = tenantId(newBytes(16).fill(5));
const capability: ChunkCapability = {
  right: "write",
  keyset: 1,
  expires: wallTime(1000),
  epoch: epoch(7n),
  tenant,
  size: 0,
  pool: 0,
};

test("ChunkTickets.check() takes what it granted, for that sealing and until it expires", () => {
  const bytes = tickets.grant(capability, chunk, seal);
  expect(tickets.check(bytes, chunk, seal, wallTime(999))).toEqual(capability);
  expect(tickets.check(bytes, chunk, seal, wallTime(1000))).toBeUndefined();
  expect(tickets.check(bytes, chunkId(newBytes(32)), seal, wallTime(1))).toBeUndefined();
  expect(tickets.check(bytes, chunk, sealId(newBytes(16)), wallTime(1))).toBeUndefined();
  expect(others.check(bytes, chunk, seal, wallTime(1))).toBeUndefined();
  for (let at = 0; at < bytes.byteLength; at++) {
    const changed = bytes.slice();
    changed[at]! ^= 1;
    expect(tickets.check(changed, chunk, seal, wallTime(1))).toBeUndefined();
  }
});

test("ChunkTickets.verify() takes what it signed alone", () => {
  const receipt: WriteReceipt = {
    tenant,
    chunkId: chunk,
    sealId: seal,
    profile: { kind: "copies", copies: 2 },
    keyset: 1,
    pool: 0,
    placementEpoch: 1,
    size: 5,
    missing: 0,
    epoch: epoch(7n),
    payloadCrc: 9,
  };
  const bytes = tickets.sign(receipt);
  expect(tickets.verify(bytes)).toEqual(receipt);
  expect(others.verify(bytes)).toBeUndefined();
  expect(tickets.verify(bytes.subarray(1))).toBeUndefined();
  for (let at = 0; at < bytes.byteLength; at++) {
    const changed = bytes.slice();
    changed[at]! ^= 1;
    expect(tickets.verify(changed)).toBeUndefined();
  }
});

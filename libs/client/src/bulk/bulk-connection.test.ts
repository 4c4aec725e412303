import { expect, test } from "bun:test";
import { chunkId, newBytes, prngFromSeed, sealId } from "@kiseki/base";
import {
  type BulkAnswer,
  bulkAnswerSize,
  bulkRequestSize,
  capabilitySize,
  encodeBulkAnswer,
} from "@kiseki/format";
import { openCrypto, systemClock } from "@kiseki/host";
import { BulkConnection, type BulkReply } from "./bulk-connection.ts";

const crypto = openCrypto();
const crc = (bytes: Uint8Array): number => crypto.crc32c(0, bytes);
const sinkSize = 1000;

function answer(change: Partial<BulkAnswer>, payload: Uint8Array = newBytes(0)): Buffer {
  const usual = { requestId: 1, kind: "read", status: "ok", retryAfterMs: 0 } as const;
  const sizes = { payloadSize: payload.byteLength, payloadCrc: crc(payload) };
  return Buffer.concat([encodeBulkAnswer({ ...usual, ...sizes, ...change }, crc), payload]);
}

/** A connection to somebody who answers the n-th request with what `answers` says; `undefined`: with nothing. */
async function open(answers: (n: number) => readonly Uint8Array[]) {
  let requests = 0;
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, bytes) {
        for (let size = bytes.byteLength; size >= bulkRequestSize; size -= bulkRequestSize) {
          requests += 1;
          for (const part of answers(requests)) socket.write(part);
        }
      },
    },
  });
  const closed = Promise.withResolvers<void>();
  const connection = await BulkConnection.open(
    { clock: systemClock, crypto },
    { address: "127.0.0.1", port: server.port },
    () => closed.resolve(),
  );
  if (connection === undefined) throw new Error("not connected");
  const sink = newBytes(sinkSize).fill(0xdb);
  const ask = (requestId: number, deadlineMs = 5_000): Promise<BulkReply> =>
    connection.exchange({
      request: {
        kind: "read",
        requestId,
        chunkId: chunkId(newBytes(32)),
        sealId: sealId(newBytes(16)),
        capability: newBytes(capabilitySize),
        size: 900,
        segmentFirst: 0,
        segmentEnd: 1,
        isVerifying: false,
      },
      payload: undefined,
      sink,
      deadline: systemClock.monotonic() + deadlineMs,
    });
  const dispose = () => {
    connection.close();
    server.stop(true);
  };
  return { ask, sink, connection, closed: closed.promise, [Symbol.dispose]: dispose };
}

test("BulkConnection: answers come in any order and in any pieces", async () => {
  const payload = prngFromSeed(1).fill(newBytes(900));
  const second = answer({ requestId: 2 }, payload.subarray(0, 10));
  const both = Buffer.concat([second, answer({ requestId: 1 }, payload)]);
  const pieces = Array.from({ length: both.byteLength }, (_, i) => both.subarray(i, i + 1));
  using place = await open((n) => (n === 2 ? pieces : []));
  const [first, other] = await Promise.all([place.ask(1), place.ask(2)]);
  expect([first, other]).toMatchObject([{ payloadSize: 900 }, { payloadSize: 10 }]);
  expect(Buffer.compare(place.sink.subarray(0, 900), payload)).toBe(0);
});

const hostile: readonly (readonly [string, readonly Uint8Array[]])[] = [
  ["no header", [newBytes(bulkAnswerSize).fill(7)]],
  ["a header with a wrong checksum", [answer({}).map((byte, i) => (i === 20 ? byte ^ 1 : byte))]],
  ["an answer that nobody asked for", [answer({ requestId: 9 })]],
  ["an answer of another kind", [answer({ kind: "write" })]],
  ["more bytes than there is room for", [answer({ payloadSize: sinkSize + 1 })]],
  ["a refusal with a payload", [answer({ status: "busy" }, newBytes(10))]],
  ["two answers", [answer({ requestId: 2 }), answer({ requestId: 2 })]],
];
for (const [name, parts] of hostile) {
  test(`BulkConnection: ${name} ends the connection, and what is under way`, async () => {
    using place = await open((n) => (n === 2 ? parts : []));
    const [first] = await Promise.all([place.ask(1), place.ask(2)]);
    await place.closed;
    expect(first).toBe("connection_lost");
    expect(await place.ask(3)).toBe("connection_lost");
    expect(place.sink.subarray(1).every((byte) => byte === 0xdb || name === "two answers")).toBe(
      true,
    );
  });
}

test("BulkConnection: random bytes end it, whatever they are", async () => {
  const prng = prngFromSeed(2);
  for (let round = 0; round < 20; round++) {
    const good = answer({}, newBytes(900));
    const bytes = prng.chance(1, 2) ? prng.fill(newBytes(500)) : good;
    if (bytes === good) bytes[prng.below(bulkAnswerSize)]! ^= 1 << prng.below(8);
    using place = await open(() => [bytes]);
    expect(await place.ask(1)).toBe("connection_lost");
  }
});

test("BulkConnection: a request that is over has its memory back, and its late answer harms nobody", async () => {
  const late = answer({ requestId: 1 }, newBytes(900).fill(1));
  const next = answer({ requestId: 2 }, newBytes(5).fill(2));
  using place = await open((n) => (n === 2 ? [late, next] : []));
  expect(await place.ask(1, 300)).toBe("connection_lost");
  place.sink.fill(0xdb);
  expect(await place.ask(2)).toMatchObject({ status: "ok", payloadSize: 5 });
  expect(place.sink.subarray(5).every((byte) => byte === 0xdb)).toBe(true);
  expect([place.connection.isClosed, place.connection.pendingCount]).toEqual([false, 0]);
});

/** Fuzz target: what comes over the bulk port before anybody has shown a right. */
import { chunkId, newBytes, sameBytes, sealId } from "@kiseki/base";
import { type FuzzTarget, must, mutateBytes } from "@kiseki/base/contract";
import {
  bulkPayloadMax,
  type BulkRequest,
  bulkRequestSize,
  bulkSealedSize,
  decodeBulkAnswer,
  decodeBulkRequest,
  encodeBulkRequest,
  takeBulkStatuses,
} from "./bulk-frame.ts";
import {
  bulkEntriesMax,
  bulkEntrySealedSize,
  bulkEntrySize,
  decodeBulkEntries,
  encodeBulkEntries,
} from "./bulk-entries.ts";
import { capabilitySize, decodeCapability, encodeCapability } from "./chunk-capability.ts";
import { decodeReceipt, encodeReceipt, receiptSize } from "./write-receipt.ts";

const ids = { chunkId: chunkId(newBytes(32).fill(1)), sealId: sealId(newBytes(16).fill(2)) };
const target = { ...ids, requestId: 7, size: 200_000, capability: newBytes(capabilitySize) };
const samples: readonly BulkRequest[] = [
  { kind: "write", ...target, isSmall: false, payloadCrc: 1 },
  { kind: "write", ...target, size: 9, isSmall: true, payloadCrc: 1 },
  { kind: "read", ...target, segmentFirst: 1, segmentEnd: 3, isVerifying: true },
  { kind: "read_many", requestId: 7, count: 2, payloadCrc: 1 },
];
const entries = encodeBulkEntries([
  { ...ids, capability: newBytes(capabilitySize), size: 9 },
  { ...ids, capability: newBytes(capabilitySize), size: 65_536 },
]);
const anySum = (sum: number) => (): number => sum;

/** `size` bytes of `source`, with zeros where it is shorter. */
function fitted(source: Uint8Array, size: number): Uint8Array {
  const bytes = newBytes(size);
  bytes.set(source.subarray(0, size));
  return bytes;
}

export const bulkFrames: FuzzTarget = {
  name: "bulk-frame",
  run(prng, note) {
    const sum = prng.below(2 ** 32);
    const sample = samples[prng.below(samples.length)]!;
    const source = fitted(
      mutateBytes(prng, encodeBulkRequest(sample, anySum(sum))),
      bulkRequestSize,
    );
    new DataView(source.buffer).setUint32(bulkRequestSize - 4, sum, true);
    note(source);
    const request = decodeBulkRequest(source, anySum(sum));
    must(decodeBulkRequest(source, anySum(sum ^ 1)) === undefined, "a wrong checksum is refused");
    const answer = decodeBulkAnswer(
      source,
      anySum(new DataView(source.buffer).getUint32(60, true)),
    );
    must(answer === undefined || answer.payloadSize <= bulkPayloadMax, "an answer is bounded");
    tryTickets(fitted(mutateBytes(prng, source), receiptSize));
    tryEntries(mutateBytes(prng, entries));
    if (request === undefined) return "refused";
    const size =
      request.kind === "read_many" ? request.count * bulkEntrySize : bulkSealedSize(request);
    must(size >= 1 && size <= bulkPayloadMax, "what a request moves is bounded");
    must(
      decodeBulkRequest(encodeBulkRequest(request, anySum(sum)), anySum(sum)) !== undefined,
      "it goes again",
    );
    return "accepted";
  },
};

function tryEntries(source: Uint8Array): void {
  takeBulkStatuses(source, source.byteLength >> 1);
  const found = decodeBulkEntries(source);
  if (found === undefined) return;
  must(found.length <= bulkEntriesMax, "entries are counted");
  must(
    found.every((entry) => bulkEntrySealedSize(entry) <= 65_564),
    "an entry asks for a segment",
  );
  must(sameBytes(encodeBulkEntries(found), source), "entries say all that they hold");
}

function tryTickets(source: Uint8Array): void {
  const capability = decodeCapability(source.subarray(0, capabilitySize));
  if (capability !== undefined) {
    const again = encodeCapability(capability);
    must(
      sameBytes(again.subarray(0, 48), source.slice(0, 48)),
      "a capability says all that it holds",
    );
  }
  const receipt = decodeReceipt(source);
  if (receipt === undefined) return;
  const again = encodeReceipt(receipt);
  must(sameBytes(again.subarray(0, 128), source.slice(0, 128)), "a receipt says all that it holds");
  must(receipt.size >= 1 && receipt.size <= 4 << 20, "a chunk is bounded");
}

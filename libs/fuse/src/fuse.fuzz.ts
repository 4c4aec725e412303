/** Fuzz target: what the kernel would never send. A request is read the same from any memory, or refused. */
import { type FuzzTarget, must, mutateBytes, pick } from "@kiseki/base/contract";
import { decodeRequest } from "./index.ts";
import { samples, wireRequest } from "./wire.test-helper.ts";

const requests: FuzzTarget = {
  name: "fuse-request",
  run(prng, note) {
    const [opcode, body] = pick(prng, samples);
    const source = mutateBytes(prng, wireRequest(opcode, body));
    if (source.byteLength >= 8 && prng.chance(3, 4))
      new DataView(source.buffer).setUint32(0, source.byteLength, true);
    note(source);
    const form = { hasLongSetxattr: prng.chance(1, 2) };
    const plain = decodeRequest(source, form);
    const wide = prng.fill(new Uint8Array(source.byteLength + 32));
    wide.set(source, 16);
    const again = decodeRequest(wide.subarray(16, 16 + source.byteLength), form);
    must(Bun.deepEquals(plain, again), "what lies around a request does not matter");
    if (plain.kind === "fault") return plain.code;
    must(Number.isSafeInteger(plain.unique), "the number of a request is a safe integer");
    if ("name" in plain)
      must(plain.name.length >= 1 && plain.name.length <= 255 && !plain.name.includes(0), "a name");
    if ("data" in plain) must(plain.data.byteLength <= source.byteLength, "data is of the request");
    return plain.kind;
  },
};

export const fuseTargets: readonly FuzzTarget[] = [requests];

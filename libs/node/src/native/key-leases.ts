import { chunkId as toChunkId, millis, newBytes, sealId as toSealId, wallTime } from "@kiseki/base";
import type { NativeBackend, NativeCall } from "@kiseki/rpc";
import { codeOf, failureFor, NativeRefusal } from "./failure.ts";
import { identityOf } from "./identity.ts";
import type { Native } from "./native.ts";

type LeaseKeysRequest = Parameters<NativeBackend["data"]["leaseKeys"]>[0];
type ReturnKeysRequest = Parameters<NativeBackend["data"]["returnKeys"]>[0];

/** For so long a key may be used, and its receipt be committed. */
const keyLeaseMs = 600_000;
/** Where files lie unless something is said of them: the default one. */
const writePool = 0;
const keysPerCallMax = 256;
/** Keys that one session may have out, unused or not committed yet. */
const keysPerSessionMax = 2048;

/** Keys for chunks that the client will seal: random ids, so that nothing else is ever the same chunk. */
async function leaseKeys(native: Native, request: LeaseKeysRequest, call: NativeCall) {
  const { session: id, count } = request;
  const session = native.sessions.use(id, identityOf(call.peer));
  if (count < 1 || count > keysPerCallMax) throw new NativeRefusal("invalid");
  const tenant = await native.openTenant(session.tenant, "write", call.signal);
  session.signal.throwIfAborted();
  if (native.ledger.countOf(session) + count > keysPerSessionMax) throw new NativeRefusal("busy");
  const { prng, clock, tickets, ledger } = native;
  const { writing, current: keyset } = tenant.keys("write");
  const { epoch } = tenant.owner;
  const expires = wallTime(clock.realtime() + keyLeaseMs);
  const over = millis(clock.monotonic() + keyLeaseMs);
  const keys = Array.from({ length: count }, () => {
    const chunkId = toChunkId(prng.fill(newBytes(32)));
    const sealId = toSealId(prng.fill(newBytes(16)));
    ledger.lease(session, chunkId, sealId, over);
    const right = { right: "write", keyset, expires, epoch, tenant: tenant.id } as const;
    const capability = tickets.grant({ ...right, size: 0, pool: writePool }, chunkId, sealId);
    return { chunkId, sealId, dek: writing.chunkDek(chunkId, sealId, "none"), capability };
  });
  return { keys, leaseMs: keyLeaseMs };
}

function returnKeys(native: Native, { session: id, sealIds }: ReturnKeysRequest, call: NativeCall) {
  const session = native.sessions.use(id, identityOf(call.peer));
  const isRight = sealIds.length <= keysPerCallMax && sealIds.every((one) => one.length === 16);
  if (!isRight) throw new NativeRefusal("invalid");
  native.ledger.giveBack(
    session,
    sealIds.map((one) => toSealId(one.slice())),
  );
  return {};
}

/** `DataService` over a node. */
export function dataService(native: Native): NativeBackend["data"] {
  return {
    leaseKeys: async (request, call) => {
      try {
        return await leaseKeys(native, request, call);
      } catch (reason) {
        const code = codeOf(reason);
        if (code === undefined) throw reason;
        return { failure: failureFor(code) };
      }
    },
    returnKeys: async (request, call) => {
      try {
        return returnKeys(native, request, call);
      } catch (reason) {
        const code = codeOf(reason);
        if (code === undefined) throw reason;
        return { failure: failureFor(code) };
      }
    },
  };
}

import { assert, customerKeyset, millis, toHex, wallTime } from "@kiseki/base";
import { type ContentPage, readFileContent, seekFile } from "@kiseki/composition";
import type { NativeBackend } from "@kiseki/rpc";
import { safeInteger } from "./content-operations.ts";
import type { FileScope } from "./file-service.ts";
import { codeOf, failureFor, NativeRefusal } from "./failure.ts";
import { fromRef } from "./messages.ts";
import type { Native } from "./native.ts";
import { planLeaseMs } from "./plan-leases.ts";

type PlanReadRequest = Parameters<NativeBackend["files"]["planRead"]>[0];
type PlanFilesRequest = Parameters<NativeBackend["files"]["planFiles"]>[0];
type SeekRequest = Parameters<NativeBackend["files"]["seek"]>[0];

const piecesMax = 1024;
const filesMax = 256;
const lengthMax = 2n ** 40n;

type Piece = ContentPage["pieces"][number];
type ChunkPiece = Extract<Piece, { kind: "chunk" }>;

/** What a range of a file consists of, with the keys and rights to read it (KEYS §4). */
export function planRead(native: Native, scope: FileScope, request: PlanReadRequest) {
  if (request.piecesMax > piecesMax || request.length > lengthMax) {
    throw new NativeRefusal("invalid");
  }
  native.plans.hold(scope.tenant); // before anything is looked up
  const countMax = request.piecesMax === 0 ? piecesMax : request.piecesMax;
  const start = safeInteger(request.offset);
  const end = start + Number(request.length);
  const file = fromRef(scope.namespace, request.file);
  return planRange(native, scope, { file, start, end, countMax });
}

/** The same of many files. A file that cannot be read is refused for itself. */
export function planFiles(native: Native, scope: FileScope, { files }: PlanFilesRequest) {
  if (files.length < 1 || files.length > filesMax) throw new NativeRefusal("invalid");
  native.plans.hold(scope.tenant); // before anything is looked up
  const plans: Plan[] = [];
  let countMax = piecesMax;
  for (const message of files) {
    if (countMax === 0) break;
    const plan = planOne(native, scope, message, countMax);
    countMax -= plan.pieces.length;
    plans.push(plan);
  }
  return { plans };
}
type Plan =
  | (ReturnType<typeof planRange> & { readonly failure?: undefined })
  | { readonly failure: ReturnType<typeof failureFor>; readonly pieces: never[] };

function planOne(
  native: Native,
  scope: FileScope,
  message: PlanFilesRequest["files"][number],
  countMax: number,
): Plan {
  try {
    const file = fromRef(scope.namespace, message);
    return planRange(native, scope, { file, start: 0, end: Number(lengthMax), countMax });
  } catch (reason) {
    const code = codeOf(reason);
    if (code === undefined || code === "closed") throw reason; // of no file in particular
    return { failure: failureFor(code), pieces: [] };
  }
}

function planRange(native: Native, scope: FileScope, query: Parameters<typeof readFileContent>[2]) {
  const { tenant } = scope;
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const found = tenant.store.view((map) => readFileContent(map, dirKeys, query));
  if (found.kind === "refused") throw new NativeRefusal(found.code);
  const { attributes, page } = found;
  const grants = new Grants(native, scope);
  const pieces = page.pieces.map((piece) => {
    const range = { offset: BigInt(piece.offset), length: BigInt(piece.length) };
    if (piece.kind === "hole") return range;
    return { ...range, chunk: grants.indexOf(piece), chunkOffset: piece.chunkOffset };
  });
  return {
    size: BigInt(attributes.size),
    contentVersion: attributes.contentVersion,
    pieces,
    ...(page.next === undefined ? {} : { next: BigInt(page.next) }),
    chunks: grants.chunks,
    leaseMs: planLeaseMs,
  };
}

/** Chunks of one plan, each with what opens it. */
class Grants {
  readonly chunks: {
    readonly chunkId: Uint8Array;
    readonly sealId: Uint8Array;
    readonly dek: Uint8Array;
    readonly size: number;
    readonly capability: Uint8Array;
  }[] = [];
  readonly #native: Native;
  readonly #scope: FileScope;
  readonly #known = new Map<string, number>();

  constructor(native: Native, scope: FileScope) {
    this.#native = native;
    this.#scope = scope;
  }
  /** @throws {NativeRefusal} `customer_key` for content under a key that S3's client alone has. */
  indexOf({ address, seal }: ChunkPiece): number {
    const name = toHex(seal.sealId);
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    if (seal.keyset === customerKeyset) throw new NativeRefusal("customer_key");
    const { tenant } = this.#scope;
    const { chunkId, pool } = address;
    const { sealId, size } = seal;
    const keyring = tenant.keys("read").keyset(seal.keyset);
    assert(keyring !== undefined, "a chunk in use is under a live keyset");
    const dek = keyring.chunkDek(chunkId, sealId, "none");
    const { tickets, clock } = this.#native;
    const expires = wallTime(clock.realtime() + planLeaseMs);
    const { epoch } = tenant.owner;
    const right = {
      right: "read",
      keyset: seal.keyset,
      expires,
      epoch,
      tenant: tenant.id,
    } as const;
    const capability = tickets.grant({ ...right, size, pool }, chunkId, sealId);
    this.#known.set(name, this.chunks.length);
    this.chunks.push({ chunkId, sealId, dek, size, capability });
    return this.chunks.length - 1;
  }
}

/** The next data or hole at or after an offset; a file ends in a hole. @throws {NativeRefusal} `no_data` */
export async function seek(
  native: Native,
  { tenant, namespace }: FileScope,
  request: SeekRequest,
): Promise<{ readonly offset: bigint }> {
  const file = fromRef(namespace, request.file);
  const what = request.isForHole ? "hole" : "data";
  for (let offset = safeInteger(request.offset); ;) {
    const dirKeys = tenant.dirKeys(tenant.keys("read"));
    const query = { file, offset, what } as const;
    const found = tenant.store.view((map) => seekFile(map, dirKeys, query));
    if (found.kind === "refused") throw new NativeRefusal(found.code);
    if (found.kind === "none") throw new NativeRefusal("no_data");
    if (found.kind === "at") return { offset: BigInt(found.offset) };
    offset = found.offset;
    await native.clock.sleep(millis(0), native.stopping);
  }
}

import { assert, type ChunkId, type SealId } from "@kiseki/base";

/** What opens a chunk: `PlanPiece.access`, between the service and the content store. */
export class ChunkAccess {
  readonly chunkId: ChunkId;
  readonly sealId: SealId;
  readonly dek: Uint8Array;
  /** Plaintext bytes of the whole chunk. */
  readonly size: number;
  /** 80 bytes: the right to read it. */
  readonly capability: Uint8Array;
  /** The same chunk out of a new plan; `undefined`: it is not there any more, or the plan was refused. */
  readonly renew: () => Promise<ChunkAccess | undefined>;

  constructor(fields: ChunkAccess) {
    this.chunkId = fields.chunkId;
    this.sealId = fields.sealId;
    this.dek = fields.dek;
    this.size = fields.size;
    this.capability = fields.capability;
    this.renew = fields.renew;
  }
}

export function chunkAccess(access: object): ChunkAccess {
  assert(access instanceof ChunkAccess, "a plan was made by this client");
  return access;
}

import { assert } from "@kiseki/base";
import type { StoredContent } from "@kiseki/vfs";

/** One chunk of stored content: what the node said of it once it was synced. */
export interface WrittenPart {
  /** 160 bytes, not to be read here: the owner checks it. */
  readonly receipt: Uint8Array;
  readonly length: number;
}

/** What `StoredContent.stored` is, between the content store and the service. */
export class Written {
  readonly parts: readonly WrittenPart[];
  constructor(parts: readonly WrittenPart[]) {
    this.parts = parts;
  }
}

export function writtenParts({ stored }: StoredContent): readonly WrittenPart[] {
  assert(stored instanceof Written, "content was stored by this client");
  return stored.parts;
}

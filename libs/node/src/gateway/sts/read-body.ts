import { concatBytes } from "@kiseki/base";
import type { BodySource } from "../../front/types.ts";

/** Collects a body of at most `sizeMax` bytes; `undefined`: it is larger. @throws {BodyError} */
export async function readBody(body: BodySource, sizeMax: number): Promise<Uint8Array | undefined> {
  if (body.size !== undefined && body.size > sizeMax) return undefined;
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const slice = await body.readSlice(sizeMax);
    if (slice === undefined) return concatBytes(...parts);
    size += slice.byteLength;
    if (size > sizeMax) return undefined;
    parts.push(slice.slice());
  }
}

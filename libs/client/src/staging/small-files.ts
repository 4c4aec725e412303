import type { FileRefusal, ReadPlan } from "@kiseki/vfs";
import { smallReadsMax, smallReadsSizeMax } from "../content/small-reads.ts";
import type { Client } from "../open-client.ts";
import type { Chunk } from "./image-fetch.ts";
import type { WalkedFile } from "./walk.ts";

export interface PlannedFile {
  readonly file: WalkedFile;
  readonly plan: ReadPlan | FileRefusal;
}
/** A file that is one small chunk, unchanged since it was listed. */
export interface SmallFile extends PlannedFile {
  readonly piece: Chunk;
}

/** Files whose bytes can come together, in groups; and the others. */
export function groupSmall(
  smallReads: Pick<Client["smallReads"], "takes">,
  planned: readonly PlannedFile[],
): { readonly groups: readonly (readonly SmallFile[])[]; readonly others: readonly PlannedFile[] } {
  const groups: SmallFile[][] = [];
  const others: PlannedFile[] = [];
  let room = 0;
  for (const { file, plan } of planned) {
    const piece = plan.kind === "plan" && isOfMoment(file, plan) ? plan.pieces[0] : undefined;
    if (piece === undefined || piece.length !== file.attributes.size || !smallReads.takes(piece)) {
      others.push({ file, plan });
      continue;
    }
    if (piece.length > room || groups.at(-1)!.length === smallReadsMax) {
      groups.push([]);
      room = smallReadsSizeMax;
    }
    groups.at(-1)!.push({ file, plan, piece });
    room -= piece.length;
  }
  return { groups, others };
}

const isOfMoment = ({ attributes }: WalkedFile, { size, contentVersion }: ReadPlan): boolean =>
  attributes.contentVersion === contentVersion && attributes.size === size;

import type { OperationId } from "@kiseki/base";
import { newBytes, sameBytes, wallTime } from "@kiseki/base";
import { decodeOutcome, doneKey, encodeOutcome, expiryKey, outcomeId } from "@kiseki/format";
import type { Answer, Refusal } from "../operation.ts";
import { refuse } from "../operation.ts";
import type { Step } from "../step.ts";
import type { PosixOperation } from "./operation.ts";

/** For so long who repeats an operation is told what came of it. */
const keptMs = 3600 * 1000;
const idSize = 16;

/** The id under which the sender may repeat an operation. */
export const onceOf = (operation: PosixOperation): OperationId | undefined =>
  "once" in operation ? operation.once : undefined;

/** What came of an operation that is repeated; `undefined`: it is not known. */
export function recallOutcome(
  step: Step,
  { namespace }: { readonly namespace: Uint8Array },
  once: OperationId,
): Answer | Refusal | undefined {
  if (once.byteLength !== idSize) return refuse("invalid_argument");
  const value = step.map.get(doneKey(outcomeId(once)));
  if (value === undefined) return undefined;
  const row = decodeOutcome(value);
  // An id of another namespace's: nothing is told of that.
  if (!sameBytes(row.namespace, namespace)) return refuse("invalid_argument");
  if (row.file === undefined) return { kind: "none" };
  const { file, isMade, offset, length } = row;
  const { home, inode, place, parent, ...facts } = file;
  const hint = place === undefined ? {} : { hint: place };
  const ref = { namespace: row.namespace, home, inode, ...hint };
  return {
    kind: "file",
    attributes: { ref, ...facts, ...(parent === undefined ? {} : { parent }) },
    ...(isMade === undefined ? {} : { isMade }),
    ...(offset === undefined ? {} : { offset }),
    ...(length === undefined ? {} : { length }),
  };
}

/** Notes what an operation came to, in its own change. */
export function keepOutcome(
  step: Step,
  { namespace }: Pick<Extract<PosixOperation, { kind: "rmdir" }>, "namespace">,
  once: OperationId,
  answer: Answer,
): void {
  const { map, context } = step;
  const id = outcomeId(once);
  map.put(doneKey(id), encodeOutcome({ namespace, ...outcomeOf(answer) }));
  map.put(expiryKey(wallTime(context.now + keptMs), id), newBytes(0));
}
function outcomeOf(answer: Answer) {
  if (answer.kind !== "file") return {};
  const { isMade, offset, length } = answer;
  const { ref, parent, ...facts } = answer.attributes;
  const place = ref.hint === undefined ? {} : { place: ref.hint };
  const above = parent === undefined ? {} : { parent };
  return {
    file: { home: ref.home, inode: ref.inode, ...facts, ...place, ...above },
    ...(isMade === undefined ? {} : { isMade }),
    ...(offset === undefined ? {} : { offset }),
    ...(length === undefined ? {} : { length }),
  };
}

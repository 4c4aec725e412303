/**
 * Workflows that workloads declare (layer 2, pure): the book of those that run, and the forms of their ids in requests.
 * Invariants: an id opens a workflow to the tenant that declared it alone, and nobody learns whether another has it; phases
 * only grow; no tenant keeps more than its budget, whatever it sends. Time, ids and who calls come in.
 */
export type { AdvisoryErrorCode } from "./error-codes.ts";
export { budgetsUsual, WorkflowBook, workflowRefSize } from "./workflow-book.ts";
export { readWorkflowRef, workflowBinaryHeader, workflowHeader } from "./workflow-ref.ts";

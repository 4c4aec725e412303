/** A bucket's policy as its row keeps it: JSON with a version, the policy's own text in it. */
import { fromUtf8, toUtf8 } from "@kiseki/base";
import type { PolicyDocument } from "./document.ts";
import { readStoredPolicy, unreadablePolicy } from "./parse-policy.ts";
import { isPublicPolicy } from "./public-policy.ts";
import { parseStrictJson } from "./strict-json.ts";

export interface BucketPolicy {
  /** As it was put; empty when it cannot be read. */
  readonly text: string;
  /** What cannot be read refuses everybody; the root can put another. */
  readonly document: PolicyDocument;
  readonly isPublic: boolean;
}

export function encodeBucketPolicy(text: string): Uint8Array {
  return toUtf8(JSON.stringify({ version: 1, policy: text }));
}

/** Never throws. */
export function decodeBucketPolicy(kept: Uint8Array): BucketPolicy {
  const json = parseStrictJson(fromUtf8(kept) ?? "");
  const fields: Readonly<Record<string, unknown>> =
    typeof json === "object" && json !== null ? { ...json } : {};
  const { version, policy } = fields;
  if (version !== 1 || typeof policy !== "string") {
    return { text: "", document: unreadablePolicy, isPublic: false };
  }
  const document = readStoredPolicy(policy, "resource");
  return { text: policy, document, isPublic: isPublicPolicy(document) };
}

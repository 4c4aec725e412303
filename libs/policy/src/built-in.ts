/** Policies that every tenant has, by the names that users of MinIO know. */

const all = "arn:aws:s3:::*";
const policyOf = (...statements: readonly object[]): string =>
  JSON.stringify({ Version: "2012-10-17", Statement: statements }, undefined, 2);
const allow = (actions: readonly string[], resources: readonly string[] = [all]): object => ({
  Effect: "Allow",
  Action: actions,
  Resource: resources,
});

/** JSON by name. Never changed in meaning: users have them by name. */
export const builtInPolicies: ReadonlyMap<string, string> = new Map([
  ["consoleAdmin", policyOf(allow(["admin:*", "kms:*", "s3:*"], ["*"]))],
  [
    "diagnostics",
    policyOf(
      allow(
        ["admin:Prometheus", "admin:Profiling", "admin:ServerInfo", "admin:ServerTrace"],
        ["*"],
      ),
    ),
  ],
  ["readonly", policyOf(allow(["s3:GetBucketLocation", "s3:GetObject"]))],
  ["readwrite", policyOf(allow(["s3:*"]))],
  ["writeonly", policyOf(allow(["s3:PutObject"]))],
]);

/**
 * Question: what does asking cost a request? Answer wanted: under 2 us for a root without policies, for whom nothing is made
 * but the answer; a user with policies pays for what they say, and a root for what a bucket's policy says (`guarded`).
 */
import { tenantId, toUtf8 } from "@kiseki/base";
import { parsePolicy, rootPrincipal, userPrincipal } from "@kiseki/policy";
import type { S3Call } from "@kiseki/s3";
import { Access, type AccessParts } from "./access.ts";
import { noSide } from "./bucket-side.ts";

interface Cost {
  readonly nsPerCall: number;
  /** Read back, or the engine may drop the loop. */
  readonly witness: number;
}

const owner = { account: "111111111111", canonicalId: "1".repeat(64), name: "one" };
const place = { ...owner, tenant: tenantId(new Uint8Array(16)) };
const statement = (n: number) => ({
  Effect: "Allow",
  Action: ["s3:GetObject", "s3:PutObject"],
  Resource: `arn:aws:s3:::bucket-${n}/\${aws:username}/*`,
  Condition: { IpAddress: { "aws:SourceIp": "10.0.0.0/8" } },
});
const policy = parsePolicy(
  JSON.stringify({ Version: "2012-10-17", Statement: [1, 2, 3, 4, 5].map(statement) }),
  { kind: "identity" },
);
const bucketPolicy = parsePolicy(
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        ...{ Effect: "Deny", Principal: "*", Action: "s3:*", Resource: "arn:aws:s3:::bucket-5/*" },
        Condition: { NotIpAddress: { "aws:SourceIp": "10.0.0.0/8" } },
      },
      {
        ...{ Effect: "Allow", Principal: "*" },
        Action: "s3:GetObject",
        Resource: "arn:aws:s3:::bucket-5/public/*",
      },
    ],
  }),
  { kind: "resource", bucket: "bucket-5" },
);
const root = rootPrincipal(place, []);
const askers = {
  root: { principal: root, side: noSide },
  user: {
    principal: userPrincipal(place, { id: "AIDBOB", name: "bob" }, [policy], []),
    side: noSide,
  },
  guarded: { principal: root, side: { ...noSide, policy: bucketPolicy } },
};
const words = { header: () => undefined, query: () => undefined, queryNames: [] };
const call = {
  kind: "get_object",
  bucket: "bucket-5",
  key: toUtf8("bob/some/key"),
} as unknown as S3Call;

export function benchAuthorize({ calls }: { calls: number }, who: keyof typeof askers): Cost {
  const { principal, side } = askers[who];
  let witness = 0;
  const started = Bun.nanoseconds();
  for (let i = 0; i < calls; i++) {
    const parts: AccessParts = {
      principal,
      ownerOf: () => owner,
      facts: () => ({
        words,
        request: { remoteAddress: "10.1.2.3", isTls: true },
        principal,
        now: 1_700_000_000_000,
        region: "us-east-1",
        authType: "REST-HEADER",
      }),
      sideOf: () => side,
      begunWords: () => [],
    };
    if (Access.authorize(parts, call).principal === principal) witness += 1;
  }
  return { nsPerCall: (Bun.nanoseconds() - started) / calls, witness };
}

if (import.meta.main) {
  for (const who of ["root", "user", "guarded"] as const) {
    benchAuthorize({ calls: 100_000 }, who);
    console.log(who, JSON.stringify(benchAuthorize({ calls: 500_000 }, who)));
  }
}

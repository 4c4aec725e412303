import { unreachable } from "@kiseki/base";
import { writeXml, type XmlNode } from "@kiseki/s3";
import { type StsFault, stsFaultStatus } from "./fault.ts";

const namespace = "https://sts.amazonaws.com/doc/2011-06-15/";

interface Credentials {
  readonly accessKeyId: string;
  readonly secret: string;
  readonly sessionToken: string;
  /** Milliseconds since the Unix epoch. */
  readonly expires: number;
}
interface AssumedUser {
  readonly arn: string;
  readonly id: string;
}

export type StsResult =
  | {
      readonly kind: "caller_identity";
      readonly arn: string;
      readonly userId: string;
      readonly account: string;
    }
  | { readonly kind: "session_token"; readonly credentials: Credentials }
  | {
      readonly kind: "assumed_role";
      readonly credentials: Credentials;
      readonly user: AssumedUser;
    }
  | {
      readonly kind: "web_identity";
      readonly credentials: Credentials;
      readonly user: AssumedUser;
      readonly subject: string;
      readonly audience: string;
      readonly provider: string;
    };

interface StsAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
}

/** The answer to a call that succeeded. It may carry a secret: nobody may keep it. */
export function toStsAnswer(result: StsResult, requestId: string): StsAnswer {
  const [action, nodes] = document(result);
  const body = writeXml(`${action}Response`, namespace, [
    [`${action}Result`, nodes],
    ["ResponseMetadata", [["RequestId", requestId]]],
  ]);
  return { status: 200, headers: headersOf(requestId), body };
}

export function toStsFaultAnswer(fault: StsFault, requestId: string): StsAnswer {
  const status = stsFaultStatus[fault.code];
  const body = writeXml("ErrorResponse", namespace, [
    [
      "Error",
      [
        ["Type", status >= 500 ? "Receiver" : "Sender"],
        ["Code", fault.code],
        ["Message", fault.message],
      ],
    ],
    ["RequestId", requestId],
  ]);
  return { status, headers: headersOf(requestId), body };
}

const headersOf = (requestId: string): StsAnswer["headers"] => [
  ["x-amzn-RequestId", requestId],
  ["Content-Type", "text/xml"],
  ["Cache-Control", "no-store"],
];

function document(result: StsResult): readonly [action: string, nodes: readonly XmlNode[]] {
  switch (result.kind) {
    case "caller_identity":
      return [
        "GetCallerIdentity",
        [
          ["Arn", result.arn],
          ["UserId", result.userId],
          ["Account", result.account],
        ],
      ];
    case "session_token":
      return ["GetSessionToken", [credentialsNode(result.credentials)]];
    case "assumed_role":
      return ["AssumeRole", [credentialsNode(result.credentials), userNode(result.user)]];
    case "web_identity":
      return [
        "AssumeRoleWithWebIdentity",
        [
          credentialsNode(result.credentials),
          ["SubjectFromWebIdentityToken", result.subject],
          userNode(result.user),
          ["Provider", result.provider],
          ["Audience", result.audience],
        ],
      ];
    default:
      return unreachable(result);
  }
}

const credentialsNode = (credentials: Credentials): XmlNode => [
  "Credentials",
  [
    ["AccessKeyId", credentials.accessKeyId],
    ["SecretAccessKey", credentials.secret],
    ["SessionToken", credentials.sessionToken],
    ["Expiration", new Date(credentials.expires).toISOString().replace(/\.\d{3}Z$/, "Z")],
  ],
];

const userNode = ({ arn, id }: AssumedUser): XmlNode => [
  "AssumedRoleUser",
  [
    ["Arn", arn],
    ["AssumedRoleId", id],
  ],
];

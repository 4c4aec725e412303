/** STS as its users know it: roles and providers made by `kiseki`, credentials by aws-cli and boto3, then S3 with them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TestProvider } from "../../libs/oidc/src/contract.ts";
import { kiseki, kisekiJson } from "../support/cli.ts";
import { NodeProcess } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { awsProgram, Tools } from "../support/tools.ts";

let node: NodeProcess;
let client: S3Client;
let tools: Tools;
let provider: TestProvider;
let words: readonly string[];
let identity: Record<"Account" | "Arn" | "UserId", string>;
let account: string;

beforeAll(async () => {
  node = await NodeProcess.started(
    { devices: 1, mirrors: 0, deviceSize: "256MiB" },
    { words: ["--oidc-allow-loopback"] },
  );
  client = await S3Client.of(node);
  tools = await Tools.of(node);
  provider = await TestProvider.open();
  words = ["--config-dir", node.configDirectory];
  await client.createBucket("sts");
  await client.put("sts", "k", "content");
  identity = JSON.parse(await tools.aws("sts", "get-caller-identity")) as typeof identity;
  account = identity.Account;
});
afterAll(async () => {
  await provider[Symbol.asyncDispose]();
  client[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

async function policyFile(name: string, ...statements: readonly object[]): Promise<string> {
  const path = join(tools.folder, `${name}.json`);
  await writeFile(path, JSON.stringify({ Version: "2012-10-17", Statement: statements }));
  return path;
}
interface Credentials {
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
  readonly SessionToken: string;
}
const withKeys = (keys: Credentials, ...more: readonly string[]) => [
  "env",
  `AWS_ACCESS_KEY_ID=${keys.AccessKeyId}`,
  `AWS_SECRET_ACCESS_KEY=${keys.SecretAccessKey}`,
  `AWS_SESSION_TOKEN=${keys.SessionToken}`,
  awsProgram(),
  ...more,
];

test("aws sts get-caller-identity and assume-role, then aws s3 with the session alone", async () => {
  expect(identity).toEqual({
    UserId: account,
    Account: account,
    Arn: `arn:aws:iam::${account}:root`,
  });
  const trust = await policyFile("trust", {
    Effect: "Allow",
    Principal: { AWS: `arn:aws:iam::${account}:root` },
    Action: "sts:AssumeRole",
  });
  const create = [...words, "role", "create", "reader", "--trust-file", trust];
  expect((await kiseki(create)).code).toBe(0);
  expect((await kiseki([...words, "role", "attach", "reader", "readonly"])).code).toBe(0);
  const roles = await kisekiJson([...words, "role", "list"]);
  const role = roles.find(({ name }) => name === "reader");
  const arn = `arn:aws:iam::${account}:role/reader`;
  expect(role).toMatchObject({ name: "reader", arn, policies: ["readonly"], seconds_max: 3600 });

  const said = await tools.aws(
    ...["sts", "assume-role", "--role-arn", arn, "--role-session-name", "job"],
    ...["--duration-seconds", "900"],
  );
  const assumed = JSON.parse(said) as { Credentials: Credentials; AssumedRoleUser: object };
  expect(assumed.AssumedRoleUser).toMatchObject({
    Arn: `arn:aws:sts::${account}:assumed-role/reader/job`,
  });
  const aws = (...more: readonly string[]) => tools.tryRun(withKeys(assumed.Credentials, ...more));
  expect((await aws("s3", "cp", "s3://sts/k", "-")).output).toBe("content");
  expect((await kiseki([...words, "role", "delete", "reader"])).code).toBe(0);
}, 20_000);

test("boto3 get_session_token, assume_role with a policy of its own, and a presigned form of a session", async () => {
  const said = await tools.boto3(`
from botocore.exceptions import ClientError
def code(call, **words):
    try:
        call(**words)
        return "ok"
    except ClientError as reason:
        return reason.response["Error"]["Code"]
def s3_of(c):
    return boto3.client("s3", aws_access_key_id=c["AccessKeyId"], aws_secret_access_key=c["SecretAccessKey"], aws_session_token=c["SessionToken"])
sts = boto3.client("sts")
own = s3_of(sts.get_session_token(DurationSeconds=900)["Credentials"])
only = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::sts/drop/*"}}
narrow = s3_of(sts.assume_role(RoleArn="arn:xxx:xxx:xxx:xxxx", RoleSessionName="drop", Policy=json.dumps(only))["Credentials"])
url = own.generate_presigned_url("get_object", Params={"Bucket": "sts", "Key": "k"})
post = narrow.generate_presigned_post("sts", "drop/form")
elsewhere = narrow.generate_presigned_post("sts", "other/form")
def send(post):
    import http.client, urllib.parse
    parts = "".join(f'--b\\r\\nContent-Disposition: form-data; name="{k}"\\r\\n\\r\\n{v}\\r\\n' for k, v in post["fields"].items())
    body = parts + '--b\\r\\nContent-Disposition: form-data; name="file"; filename="f"\\r\\n\\r\\nformed\\r\\n--b--\\r\\n'
    at = urllib.parse.urlsplit(post["url"])
    connection = http.client.HTTPConnection(at.netloc)
    connection.request("POST", at.path, body.encode(), {"Content-Type": "multipart/form-data; boundary=b"})
    return connection.getresponse().status
print(json.dumps({
  "own": own.get_object(Bucket="sts", Key="k")["Body"].read().decode(),
  "presigned": urllib.request.urlopen(url).read().decode(),
  "drop": code(narrow.put_object, Bucket="sts", Key="drop/a", Body=b"x"),
  "read": code(narrow.get_object, Bucket="sts", Key="k"),
  "form": [send(post), send(elsewhere)],
  "formed": own.get_object(Bucket="sts", Key="drop/form")["Body"].read().decode(),
  "again": code(boto3.client("sts", aws_access_key_id="ASIAAAAAAAAAAAAAAAAA", aws_secret_access_key="x", aws_session_token="x").get_caller_identity),
}))`);
  expect(JSON.parse(said)).toEqual({
    own: "content",
    presigned: "content",
    drop: "ok",
    read: "AccessDenied",
    form: [204, 403],
    formed: "formed",
    again: "InvalidClientTokenId",
  });
}, 20_000);

test("boto3 takes a web identity by its token file alone, as in a cluster's pod", async () => {
  const idp = provider.issuer.replace("http://", "");
  const add = [...words, "oidc", "add", "pods", provider.issuer];
  expect((await kiseki([...add, "--client-ids", "app"])).code).toBe(0);
  const [listed] = await kisekiJson([...words, "oidc", "list"]);
  const federated = `arn:aws:iam::${account}:oidc-provider/${idp}`;
  expect(listed).toMatchObject({
    name: "pods",
    client_ids: ["app"],
    policy_claim: "policy",
    arn: federated,
  });
  const trust = await policyFile("pods", {
    Effect: "Allow",
    Principal: { Federated: federated },
    Action: "sts:AssumeRoleWithWebIdentity",
    Condition: { StringEquals: { [`${idp}:sub`]: "system:pod" } },
  });
  for (const more of [
    ["create", "pod", "--trust-file", trust, "--max-seconds", "7200"],
    ["attach", "pod", "readwrite"],
  ]) {
    expect((await kiseki([...words, "role", ...more])).code).toBe(0);
  }
  const path = join(tools.folder, "token");
  await writeFile(path, await provider.token({ sub: "system:pod" }));
  const said = await tools.boto3(`
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    del os.environ[name]
os.environ["AWS_WEB_IDENTITY_TOKEN_FILE"] = ${JSON.stringify(path)}
os.environ["AWS_ROLE_ARN"] = "arn:aws:iam::${account}:role/pod"
pod = boto3.Session()
s3 = pod.client("s3")
s3.put_object(Bucket="sts", Key="from-pod", Body=b"pod")
sts = boto3.client("sts", config=Config(signature_version=UNSIGNED))
def refused(token):
    try:
        sts.assume_role_with_web_identity(RoleArn=os.environ["AWS_ROLE_ARN"], RoleSessionName="no", WebIdentityToken=token)
    except ClientError as reason:
        return reason.response["Error"]["Code"]
token = open(${JSON.stringify(path)}).read()
print(json.dumps({
  "got": s3.get_object(Bucket="sts", Key="from-pod")["Body"].read().decode(),
  "who": pod.client("sts").get_caller_identity()["Arn"].rsplit("/", 1)[0],
  "tampered": refused(token[:-8] + "AAAAAAAA"),
  "other": refused(${JSON.stringify(await provider.token({ sub: "system:other" }))}),
  "expired": refused(${JSON.stringify(await provider.token({ sub: "system:pod", exp: 1000 }))}),
}))`);
  expect(JSON.parse(said)).toEqual({
    got: "pod",
    who: `arn:aws:sts::${account}:assumed-role/pod`,
    tampered: "InvalidIdentityToken",
    other: "AccessDenied",
    expired: "ExpiredTokenException",
  });
}, 20_000);

test("kiseki role and oidc say what is there, and refuse what is not", async () => {
  const trust = await policyFile("shown", {
    Effect: "Allow",
    Principal: { AWS: "*" },
    Action: "sts:AssumeRole",
  });
  const run = async (...more: readonly string[]) => kiseki([...words, ...more]);
  expect((await run("role", "create", "shown", "--trust-file", trust)).code).toBe(0);
  expect((await run("role", "show", "shown")).out).toContain('"sts:AssumeRole"');
  const codes: readonly (readonly [number, readonly string[]])[] = [
    [1, ["role", "create", "shown", "--trust-file", trust]],
    [2, ["role", "trust", "shown", "--trust-file", "/nothing"]],
    [1, ["role", "attach", "shown", "nothing"]],
    [1, ["role", "show", "nobody"]],
    [2, ["oidc", "add", "idp", "https://id.example"]],
    [1, ["oidc", "remove", "idp"]],
  ];
  const ended = await Promise.all(codes.map(async ([, more]) => (await run(...more)).code));
  expect(ended).toEqual(codes.map(([code]) => code));
}, 20_000);

/** Every verb × every kind of caller, over HTTP: the table of docs/access.md. */
import { createHmac } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { wallTime } from "@kiseki/base";
import { Bed, type Call, type Reply, signText, stampNow, type User } from "../bed.test-helper.ts";
import {
  type Caller,
  callers,
  matrixTable,
  refusalOf,
  type Verb,
  verbs,
} from "./matrix.test-helper.ts";
import { needsOf } from "./needs.ts";

interface Signer extends User {
  readonly token?: string;
}

let bed: Bed;
let signers: Readonly<Record<Caller, Signer | undefined>>;
/** Looks into the map of the tenant whose bucket it is. */
let lookUps = 0;

beforeAll(async () => {
  bed = await Bed.open();
  const { catalog, sessionTokens } = bed.node.storage;
  const tenant = bed.node.defaultTenant;
  const low = catalog.createUser(tenant, "low");
  catalog.putPolicy(
    tenant,
    "elsewhere",
    JSON.stringify({
      Statement: {
        Effect: "Allow",
        Action: "s3:*",
        Resource: ["arn:aws:s3:::elsewhere", "arn:aws:s3:::elsewhere/*"],
      },
    }),
  );
  catalog.attachPolicy(low.id, "elsewhere");
  const admin = catalog.createUser(tenant, "admin");
  catalog.attachPolicy(admin.id, "consoleAdmin");
  const past = wallTime(Date.now() - 60_000);
  const session = sessionTokens.issue({
    ...({ kind: "user", tenant, parentKey: bed.main.id, issued: past, expires: past } as const),
    ...{ policyNames: [], claims: [], tags: [] },
  })!;
  signers = {
    anonymous: undefined,
    "unknown key": { id: "AKIANOBODYNOBODYNOBO", secret: "nobody's" },
    "expired session": {
      id: session.accessKeyId,
      secret: session.secret,
      token: session.sessionToken,
    },
    "other tenant": bed.other,
    "low-right user": catalog.createAccessKey(low.id),
    admin: catalog.createAccessKey(admin.id),
  };
  const { store } = await bed.node.openDefaultTenant(new AbortController().signal);
  const view = store.view.bind(store);
  store.view = (read) => {
    lookUps += 1;
    return view(read);
  };
}, 20_000);
afterAll(() => bed[Symbol.asyncDispose]());

const fill = (text: string, bucket: string, key: string): string =>
  text.replaceAll("BUCKET", bucket).replaceAll("KEY", key);

function ask(verb: Verb, signer: Signer | undefined, bucket: string, key: string): Promise<Reply> {
  if (verb.kind === "post_object") return postForm(signer, bucket, key);
  const target = fill(verb.target, bucket, key);
  const token = signer?.token === undefined ? {} : { "x-amz-security-token": signer.token };
  const headers: Record<string, string> = { ...verb.headers, ...token };
  for (const [name, value] of Object.entries(headers)) headers[name] = fill(value, bucket, key);
  const body = verb.body === undefined ? {} : { body: fill(verb.body, bucket, key) };
  if (signer === undefined) {
    return bed.send(verb.method, target, { host: bed.host, ...headers }, body.body);
  }
  const call: Call = { headers, ...body };
  return bed.call(signer, verb.method, target, call);
}

function postForm(signer: Signer | undefined, bucket: string, key: string): Promise<Reply> {
  const fields: [string, string][] = [["key", `${key}-form`]];
  if (signer !== undefined) {
    const date = stampNow();
    const { scope, key: signingKey } = signText(signer, date, "");
    const token: [string, string][] =
      signer.token === undefined ? [] : [["x-amz-security-token", signer.token]];
    const signed: [string, string][] = [
      ["x-amz-algorithm", "AWS4-HMAC-SHA256"],
      ["x-amz-credential", `${signer.id}/${scope}`],
      ["x-amz-date", date],
      ...token,
    ];
    const conditions = [
      { bucket },
      ...[...fields, ...signed].map(([name, value]) => ({ [name]: value })),
    ];
    const expiration = new Date(Date.now() + 60_000).toISOString();
    const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString("base64");
    const signature = createHmac("sha256", signingKey).update(policy).digest("hex");
    fields.push(...signed, ["policy", policy], ["x-amz-signature", signature]);
  }
  const parts = fields.map(
    ([name, value]) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const file = `--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--b--\r\n`;
  const headers = { host: bed.host, "content-type": "multipart/form-data; boundary=b" };
  return bed.send("POST", `/${bucket}`, headers, parts.join("") + file);
}

/** Whether a refusal reads the map. Housekeeping does now and then, so that one request without is proof. */
async function looksUp(verb: Verb, signer: Signer | undefined, bucket: string): Promise<boolean> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const before = lookUps;
    await ask(verb, signer, bucket, "there");
    if (lookUps === before) return false;
  }
  return true;
}

/** Status and code; of a HEAD, which has no body, the status. */
function answerOf(verb: Verb, { status, text }: Reply): string {
  const code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1];
  return verb.method === "HEAD" || code === undefined ? String(status) : `${status} ${code}`;
}
/** Without what names the request, the bucket or the key. */
const plain = ({ text }: Reply, bucket: string, key: string): string =>
  text
    .replaceAll(
      /<(RequestId|StringToSign|CanonicalRequest|SignatureProvided|StringToSignBytes)>[^<]*</g,
      "<$1><",
    )
    .replaceAll(bucket, "BUCKET")
    .replaceAll(key, "KEY");

test("the matrix has every kind of call", () => {
  const missing = Object.keys(needsOf).filter((kind) => !verbs.some((verb) => verb.kind === kind));
  expect(missing).toEqual([]);
});

let made = 0;
async function makeBucket(caller: Caller): Promise<string> {
  const bucket = `matrix-${callers.indexOf(caller)}-${++made}`;
  await bed.call(bed.main, "PUT", `/${bucket}`);
  await bed.call(bed.main, "PUT", `/${bucket}/there`, { body: "content" });
  return bucket;
}

for (const caller of callers) {
  test(`the matrix holds for ${caller}, and no refusal tells what is there`, async () => {
    const wrong: unknown[] = [];
    let bucket = await makeBucket(caller);
    for (const verb of verbs) {
      const refusal = refusalOf(verb, caller);
      if (refusal !== undefined) await ask(verb, signers[caller], bucket, "warm"); // rows and settings are remembered
      const expected = verb.method === "HEAD" ? refusal?.slice(0, 3) : refusal;
      const there = await ask(verb, signers[caller], bucket, "there");
      const answer = answerOf(verb, there);
      if (refusal === undefined) {
        if (/^(401|403)/.test(answer)) wrong.push([verb.name, answer, "was to be let in"]);
        if (verb.method !== "GET" && verb.method !== "HEAD") bucket = await makeBucket(caller);
        continue;
      }
      if (answer !== expected) wrong.push([verb.name, answer, expected]);
      const gone = await ask(verb, signers[caller], bucket, "gone");
      const isSame = plain(there, bucket, "there") === plain(gone, bucket, "gone");
      if (!isSame) wrong.push([verb.name, there.text, gone.text]);
      if (there.status !== gone.status) wrong.push([verb.name, there.status, gone.status]);
      // Whether requests for a bucket are logged is asked of the bucket, be it there or not.
      if (verb.kind !== "create_bucket" && (await looksUp(verb, signers[caller], bucket)))
        wrong.push([verb.name, "looks something up"]);
      const nowhere = await ask(verb, signers[caller], "no-such-bucket", "gone");
      if (await looksUp(verb, signers[caller], "no-such-bucket"))
        wrong.push([verb.name, "looks for a bucket that is not there"]);
      if (there.status !== nowhere.status && caller !== "other tenant") {
        wrong.push([verb.name, "bucket", there.status, nowhere.status]);
      }
    }
    expect(wrong).toEqual([]);
  }, 20_000);
}

test("docs/access.md shows the matrix", async () => {
  const text = await Bun.file(`${import.meta.dir}/../../../../../docs/access.md`).text();
  const cells = (table: string) =>
    table
      .split("\n")
      .filter((line) => line.startsWith("|") && !line.startsWith("| -"))
      .map((line) => line.split("|").map((cell) => cell.trim()));
  const shown = /<!-- matrix -->(.*)<!-- end -->/s.exec(text)![1]!;
  expect(cells(shown)).toEqual(cells(matrixTable()));
});

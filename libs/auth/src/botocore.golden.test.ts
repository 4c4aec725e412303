// Requests signed by botocore (`botocore-golden.py` made the rows): each must verify, and no more after any change to what was signed.
import { expect, test } from "bun:test";
import { wallTime } from "@kiseki/base";
import { httpLimitsDefault, RequestDecoder, type RequestHead } from "@kiseki/http";
import { openCrypto } from "@kiseki/host";
import golden from "./botocore-golden.json";
import { SignatureVerifier } from "./index.ts";

const secrets: Readonly<Record<string, { secret: string; token?: string }>> = {
  AKIDEXAMPLE: { secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" },
  AKIDTEMP: { secret: "temporary/secret", token: "token//with+signs==" },
};
const verifier = new SignatureVerifier(openCrypto(), {
  lookup: (id, token) => (secrets[id]?.token === token ? secrets[id] : undefined),
  region: undefined,
});
const now = wallTime(golden.now);

function headOf(method: string, target: string, headers: readonly string[][]): RequestHead {
  const decoder = new RequestDecoder(httpLimitsDefault);
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  decoder.feed(new TextEncoder().encode(`${method} ${target} HTTP/1.1\r\n${lines}\r\n`));
  const event = decoder.next();
  if (event.kind !== "head") throw new Error(`Cannot read the row: ${JSON.stringify(event)}`);
  return event.head;
}

for (const { name, form, method, target, headers, accessKeyId } of golden.rows) {
  test(`verify() accepts what botocore signed: ${name}, ${form}`, () => {
    const outcome = verifier.verify(headOf(method, target, headers), now);
    expect(outcome).toMatchObject({ kind: "signed", accessKeyId, form, region: "eu-west-7" });
  });
  test(`verify() refuses a changed request: ${name}, ${form}`, () => {
    const path = target.replace(/^([^?]*)/, "$1x");
    const changed = [
      headOf(method === "GET" ? "HEAD" : "GET", target, headers),
      headOf(method, path, headers),
      headOf(method, `${target}${target.includes("?") ? "&" : "?"}acl`, headers),
      headOf(
        method,
        target,
        headers.map(([key, value]) => [key!, key === "Host" ? "other" : value!]),
      ),
    ];
    for (const head of changed) {
      expect(verifier.verify(head, now)).toMatchObject({ code: "SignatureDoesNotMatch" });
    }
    const added = headOf(method, target, [...headers, ["x-amz-acl", "public-read"]]);
    expect(verifier.verify(added, now)).toMatchObject({ code: "AccessDenied" });
  });
}

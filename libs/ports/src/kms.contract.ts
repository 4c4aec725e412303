import { expect, test } from "bun:test";
import { newBytes, prngFromSeed, tenantId, toHex, toUtf8 } from "@kiseki/base";
import { type Kms, KmsError } from "./kms.ts";

const never = new AbortController().signal;
const prng = prngFromSeed(21);
const someone = () => tenantId(prng.fill(newBytes(16)));

async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (reason) {
    if (reason instanceof KmsError) return reason.code;
    throw reason;
  }
  return "no refusal";
}

/** What every `Kms` promises, of a KEK that is there. `openKms` answers a driver that works. */
function wrapContract(name: string, openKms: () => Promise<Kms & AsyncDisposable>): void {
  test(`${name}: unwrap() takes back what wrap() sealed, up to 4 KiB, never the same bytes twice`, async () => {
    await using kms = await openKms();
    const tenant = someone();
    await kms.provision(tenant, never);
    for (const size of [1, 64, 4096]) {
      const plaintext = prng.fill(newBytes(size));
      const aad = toUtf8(`aad ${size}`);
      const wrapped = await kms.wrap(tenant, plaintext, aad, never);
      expect(await kms.unwrap(tenant, wrapped, aad, never)).toEqual(plaintext);
      expect(toHex(await kms.wrap(tenant, plaintext, aad, never))).not.toBe(toHex(wrapped));
      if (size >= 64) expect(toHex(wrapped)).not.toContain(toHex(plaintext));
    }
  });
  test(`${name}: provision() again keeps the KEK`, async () => {
    await using kms = await openKms();
    const tenant = someone();
    await kms.provision(tenant, never);
    const wrapped = await kms.wrap(tenant, toUtf8("share"), newBytes(0), never);
    await kms.provision(tenant, never);
    expect(await kms.unwrap(tenant, wrapped, newBytes(0), never)).toEqual(
      new Uint8Array(toUtf8("share")),
    );
  });
  test(`${name}: unwrap() refuses other bytes, another AAD and another tenant's wrap`, async () => {
    await using kms = await openKms();
    const [tenant, other] = [someone(), someone()];
    await kms.provision(tenant, never);
    await kms.provision(other, never);
    const wrapped = await kms.wrap(tenant, toUtf8("share"), toUtf8("aad"), never);
    const refused = ["crypto_error", "aad_mismatch"];
    for (let byte = 0; byte < wrapped.byteLength; byte++) {
      const flipped = wrapped.slice();
      flipped[byte]! ^= 1 << prng.below(8);
      expect(refused).toContain(await refusal(kms.unwrap(tenant, flipped, toUtf8("aad"), never)));
    }
    for (const call of [
      kms.unwrap(tenant, wrapped, toUtf8("dad"), never),
      kms.unwrap(other, wrapped, toUtf8("aad"), never),
      kms.unwrap(tenant, newBytes(0), toUtf8("aad"), never),
    ]) {
      expect(refused).toContain(await refusal(call));
    }
  });
  test(`${name}: rotate() leaves older wraps readable, rewrap() moves them`, async () => {
    await using kms = await openKms();
    const tenant = someone();
    await kms.provision(tenant, never);
    const aad = toUtf8("aad");
    const wrapped = await kms.wrap(tenant, toUtf8("share"), aad, never);
    const first = await kms.rotate(tenant, never);
    expect(await kms.rotate(tenant, never)).not.toBe(first);
    const moved = await kms.rewrap(tenant, wrapped, aad, never);
    expect(toHex(moved)).not.toBe(toHex(wrapped));
    for (const each of [wrapped, moved]) {
      expect(toHex(await kms.unwrap(tenant, each, aad, never))).toBe(toHex(toUtf8("share")));
    }
    await kms.validate(tenant, never);
  });
}

/** What every `Kms` promises. */
export function kmsContract(name: string, openKms: () => Promise<Kms & AsyncDisposable>): void {
  wrapContract(name, openKms);
  test(`${name}: a tenant without a KEK is refused by name of the code`, async () => {
    await using kms = await openKms();
    const tenant = someone();
    const nothing = newBytes(0);
    expect(await refusal(kms.wrap(tenant, toUtf8("x"), nothing, never))).toBe("key_not_found");
    expect(await refusal(kms.validate(tenant, never))).toBe("key_not_found");
    expect(await refusal(kms.rotate(tenant, never))).toBe("key_not_found");
    expect(await refusal(kms.destroy(tenant, never))).toBe("key_not_found");
  });
  test(`${name}: after destroy() nothing opens and nobody else is touched`, async () => {
    await using kms = await openKms();
    const [tenant, other] = [someone(), someone()];
    const aad = toUtf8("aad");
    await kms.provision(tenant, never);
    await kms.provision(other, never);
    const wrapped = await kms.wrap(tenant, toUtf8("share"), aad, never);
    await kms.rotate(tenant, never);
    const kept = await kms.wrap(other, toUtf8("other"), aad, never);
    const { effectiveAt } = await kms.destroy(tenant, never);
    expect(Number.isSafeInteger(effectiveAt)).toBe(true);
    for (const call of [
      kms.unwrap(tenant, wrapped, aad, never),
      kms.rewrap(tenant, wrapped, aad, never),
      kms.wrap(tenant, toUtf8("x"), aad, never),
      kms.rotate(tenant, never),
      kms.validate(tenant, never),
      kms.provision(tenant, never),
    ]) {
      expect(await refusal(call)).toBe("kek_destroyed");
    }
    expect(toHex(await kms.unwrap(other, kept, aad, never))).toBe(toHex(toUtf8("other")));
    expect(await kms.destroy(tenant, never)).toEqual({ effectiveAt });
  });
  test(`${name}: an aborted call rejects with the signal's reason`, async () => {
    await using kms = await openKms();
    const reason = new Error("gone");
    const tenant = someone();
    await expect(kms.provision(tenant, AbortSignal.abort(reason))).rejects.toBe(reason);
    await expect(kms.validate(tenant, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
}

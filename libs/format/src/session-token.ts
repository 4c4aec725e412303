import {
  assert,
  fromUtf8,
  newBytes,
  type TenantId,
  tenantId,
  toUtf8,
  type WallTime,
  wallTime,
} from "@kiseki/base";

/**
 * Temporary credentials as their holder carries them: who he is and until when, sealed. Little-endian; drawn in
 * `docs/formats/session-token.md`.
 *
 *     0  1  version, 1
 *     1  1  zero
 *     2 12  nonce
 *    14  n  AES-256-GCM ciphertext of the session and tag; AAD = bytes [0, 2)
 *
 * The session:
 *
 *     0  1  kind: 1 user, 2 role, 3 claims
 *     1 16  tenant
 *    17 20  temporary access key id, ASCII
 *    37  8  issued, milliseconds since the Unix epoch
 *    45  8  expires
 *    53  …  fields in order of their codes: code (1), size (2), UTF-8 bytes
 */
const version = 1;
const headerSize = 2;
const nonceSize = 12;
const tagSize = 16;
const fixedSize = 53;
const keyIdSize = 20;
/** Larger ones are not made and not opened: the head of a request has to hold them. */
export const sessionSizeMax = 8192;

/** Numbers are stored: append only. */
const kinds = { user: 1, role: 2, claims: 3 } as const;
const codes = {
  parentKey: 1,
  role: 2,
  sessionName: 3,
  provider: 4,
  subject: 5,
  policy: 6,
  policyName: 7,
  claim: 8,
  tag: 9,
} as const;

/** What temporary credentials stand for. Ids, not rights: these are looked up at each request. */
export interface Session {
  /** `user`: a user's own rights; `role`: those of a role; `claims`: policies that a provider's token names. */
  readonly kind: keyof typeof kinds;
  readonly tenant: TenantId;
  /** 20 characters of ASCII. */
  readonly accessKeyId: string;
  readonly issued: WallTime;
  readonly expires: WallTime;
  /** Access key that asked for them; they end with it. */
  readonly parentKey?: string;
  /** Id of the role. */
  readonly role?: string;
  readonly sessionName?: string;
  /** Id of the identity provider whose token was shown. */
  readonly provider?: string;
  /** Whom that token spoke of. */
  readonly subject?: string;
  /** JSON of what narrows them further. */
  readonly policy?: string;
  /** Managed policies, by name. */
  readonly policyNames: readonly string[];
  /** Claims that conditions may ask for. */
  readonly claims: readonly (readonly [name: string, value: string])[];
  /** Tags of the session. */
  readonly tags: readonly (readonly [name: string, value: string])[];
}

function fieldsOf(session: Session): readonly (readonly [code: number, text: string])[] {
  const fields: (readonly [number, string | undefined])[] = [
    [codes.parentKey, session.parentKey],
    [codes.role, session.role],
    [codes.sessionName, session.sessionName],
    [codes.provider, session.provider],
    [codes.subject, session.subject],
    [codes.policy, session.policy],
    ...session.policyNames.map((name) => [codes.policyName, name] as const),
    ...session.claims.map(([name, value]) => [codes.claim, `${name}\0${value}`] as const),
    ...session.tags.map(([name, value]) => [codes.tag, `${name}\0${value}`] as const),
  ];
  return fields.filter((field): field is readonly [number, string] => field[1] !== undefined);
}

/** The bytes to seal; `undefined` when they are more than `sessionSizeMax`. */
export function encodeSession(session: Session): Uint8Array | undefined {
  const id = toUtf8(session.accessKeyId);
  assert(id.byteLength === keyIdSize, "a temporary access key's id has 20 bytes");
  const fields = fieldsOf(session).map(([code, text]) => [code, toUtf8(text)] as const);
  const size = fields.reduce((sum, [, bytes]) => sum + 3 + bytes.byteLength, fixedSize);
  if (size > sessionSizeMax) return undefined;
  const target = newBytes(size);
  const view = new DataView(target.buffer);
  view.setUint8(0, kinds[session.kind]);
  target.set(session.tenant, 1);
  target.set(id, 17);
  view.setBigUint64(37, BigInt(session.issued), true);
  view.setBigUint64(45, BigInt(session.expires), true);
  let at = fixedSize;
  for (const [code, bytes] of fields) {
    view.setUint8(at, code);
    view.setUint16(at + 1, bytes.byteLength, true);
    target.set(bytes, at + 3);
    at += 3 + bytes.byteLength;
  }
  return target;
}

/** Reads a session; `undefined` for what `encodeSession` does not write. */
export function decodeSession(source: Uint8Array): Session | undefined {
  if (source.byteLength < fixedSize || source.byteLength > sessionSizeMax) return undefined;
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const kind = (Object.keys(kinds) as Session["kind"][]).find(
    (name) => kinds[name] === view.getUint8(0),
  );
  const accessKeyId = fromUtf8(source.subarray(17, 37));
  const times = [Number(view.getBigUint64(37, true)), Number(view.getBigUint64(45, true))];
  if (kind === undefined || accessKeyId === undefined) return undefined;
  if (!times.every((time) => Number.isSafeInteger(time))) return undefined;
  const texts = new Map<number, string[]>();
  let last = 0;
  for (let at = fixedSize; at < source.byteLength;) {
    if (at + 3 > source.byteLength) return undefined;
    const code = view.getUint8(at);
    const end = at + 3 + view.getUint16(at + 1, true);
    if (code < last || end > source.byteLength) return undefined;
    const text = fromUtf8(source.subarray(at + 3, end));
    if (text === undefined) return undefined;
    texts.set(code, [...(texts.get(code) ?? []), text]);
    last = code;
    at = end;
  }
  const single = singleFields(texts);
  const claims = splitPairs(texts.get(codes.claim));
  const tags = splitPairs(texts.get(codes.tag));
  if (single === undefined || claims === undefined || tags === undefined) return undefined;
  return {
    kind,
    tenant: tenantId(source.slice(1, 17)),
    accessKeyId,
    issued: wallTime(times[0]!),
    expires: wallTime(times[1]!),
    ...single,
    policyNames: texts.get(codes.policyName) ?? [],
    claims,
    tags,
  };
}

const singleCodes = ["parentKey", "role", "sessionName", "provider", "subject", "policy"] as const;

const listCodes: readonly number[] = [codes.policyName, codes.claim, codes.tag];

/** Fields that come once at most. A code that is not known belongs to a later program. */
function singleFields(
  texts: ReadonlyMap<number, readonly string[]>,
): Partial<Record<(typeof singleCodes)[number], string>> | undefined {
  const fields: Partial<Record<(typeof singleCodes)[number], string>> = {};
  for (const [code, list] of texts) {
    if (listCodes.includes(code)) continue;
    const name = singleCodes.find((each) => codes[each] === code);
    if (name === undefined || list.length > 1) return undefined;
    fields[name] = list[0]!;
  }
  return fields;
}

function splitPairs(
  texts: readonly string[] = [],
): readonly (readonly [string, string])[] | undefined {
  const pairs: (readonly [string, string])[] = [];
  for (const text of texts) {
    const mark = text.indexOf("\0");
    if (mark < 0) return undefined;
    pairs.push([text.slice(0, mark), text.slice(mark + 1)]);
  }
  return pairs;
}

/** Version and zero: what opens a token and is its AAD. */
export function sessionTokenHeader(): Uint8Array {
  return Uint8Array.of(version, 0);
}

/** A token as text: base64url without padding. */
export function encodeSessionToken(nonce: Uint8Array, sealed: Uint8Array): string {
  assert(nonce.byteLength === nonceSize, "a nonce has 12 bytes");
  const target = newBytes(headerSize + nonceSize + sealed.byteLength);
  target.set(sessionTokenHeader());
  target.set(nonce, headerSize);
  target.set(sealed, headerSize + nonceSize);
  return target.toBase64({ alphabet: "base64url", omitPadding: true });
}

const tokenSizeMax = headerSize + nonceSize + sessionSizeMax + tagSize;
const tokenTextSizeMax = Math.ceil((tokenSizeMax * 4) / 3);

/** Nonce and sealed bytes of a token; `undefined` for text that is none of this version. */
export function decodeSessionToken(
  text: string,
): { readonly nonce: Uint8Array; readonly sealed: Uint8Array } | undefined {
  if (text.length > tokenTextSizeMax || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  let source: Uint8Array;
  try {
    source = Uint8Array.fromBase64(text, { alphabet: "base64url" });
  } catch (reason) {
    if (reason instanceof SyntaxError) return undefined; // the decoder's word for bad base64
    throw reason;
  }
  if (source.byteLength < headerSize + nonceSize + fixedSize + tagSize) return undefined;
  if (source[0] !== version || source[1] !== 0) return undefined;
  // One text for each token: bits that no byte has are zero.
  if (source.toBase64({ alphabet: "base64url", omitPadding: true }) !== text) return undefined;
  const nonce = source.slice(headerSize, headerSize + nonceSize);
  return { nonce, sealed: source.slice(headerSize + nonceSize) };
}

import { newBytes, type Prng, toUtf8, type WallTime } from "@kiseki/base";
import {
  decodeSession,
  decodeSessionToken,
  encodeSession,
  encodeSessionToken,
  type Session,
  sessionTokenHeader,
} from "@kiseki/format";
import type { Crypto } from "@kiseki/ports";

/** Keys of the cluster, as new bytes that are wiped here. */
export interface SessionKeys {
  /** Seals tokens. */
  sessionTokenKey(): Uint8Array;
  /** Makes secrets of tokens. */
  sessionSecretKey(): Uint8Array;
}

/** What the holder gets. */
export interface TemporaryCredentials {
  readonly accessKeyId: string;
  /** 40 characters. */
  readonly secret: string;
  readonly sessionToken: string;
  readonly expires: WallTime;
}

/** What temporary credentials turned out to be. */
export interface OpenSession {
  readonly session: Session;
  readonly secret: string;
}

const idLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/** Opened tokens that are remembered: a client sends its own with each request. */
const knownCountMax = 512;
const secretSize = 30; // 40 characters of base64

/**
 * Seals sessions into tokens and opens them. The secret is made of the token's own bytes, so that no other secret, id or
 * token goes with it, and nothing is kept here. Whether the session may still be used is the caller's to ask.
 */
export class SessionTokens {
  readonly #crypto: Crypto;
  readonly #prng: Prng;
  readonly #keys: SessionKeys;
  readonly #known = new Map<string, OpenSession>();

  /** `prng` is the secure one. */
  constructor(crypto: Crypto, prng: Prng, keys: SessionKeys) {
    this.#crypto = crypto;
    this.#prng = prng;
    this.#keys = keys;
  }

  /** Credentials for a session; `undefined` when it says more than a token can hold. */
  issue(parts: Omit<Session, "accessKeyId">): TemporaryCredentials | undefined {
    let accessKeyId = "ASIA";
    while (accessKeyId.length < 20) accessKeyId += idLetters[this.#prng.below(idLetters.length)]!;
    const session = encodeSession({ ...parts, accessKeyId });
    if (session === undefined) return undefined;
    const nonce = this.#prng.fill(newBytes(12));
    const key = this.#keys.sessionTokenKey();
    const sealed = this.#crypto.seal(key, nonce, sessionTokenHeader(), session);
    this.#crypto.wipe(key);
    const sessionToken = encodeSessionToken(nonce, sealed);
    const { expires } = parts;
    return { accessKeyId, secret: this.#secretOf(sessionToken), sessionToken, expires };
  }

  /** The session that is sealed in `token`, if it goes with that id; `undefined` for everything else. */
  open(accessKeyId: string, token: string): OpenSession | undefined {
    const known = this.#known.get(token);
    const opened = known ?? this.#unseal(token);
    if (opened === undefined || opened.session.accessKeyId !== accessKeyId) return undefined;
    if (known === undefined) {
      if (this.#known.size >= knownCountMax) this.#known.clear();
      this.#known.set(token, opened);
    }
    return opened;
  }

  #unseal(token: string): OpenSession | undefined {
    const parts = decodeSessionToken(token);
    if (parts === undefined) return undefined;
    const key = this.#keys.sessionTokenKey();
    const plain = this.#crypto.open(key, parts.nonce, sessionTokenHeader(), parts.sealed);
    this.#crypto.wipe(key);
    const session = plain && decodeSession(plain);
    return session && { session, secret: this.#secretOf(token) };
  }

  #secretOf(token: string): string {
    const key = this.#keys.sessionSecretKey();
    const mac = this.#crypto.hmacSha256(key, toUtf8(token));
    this.#crypto.wipe(key);
    return new Uint8Array(mac.subarray(0, secretSize)).toBase64();
  }
}

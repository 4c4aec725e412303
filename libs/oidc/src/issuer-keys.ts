import { millis } from "@kiseki/base";
import type { Clock } from "@kiseki/ports";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { type DocumentFetcher, FetchError } from "./fetch-document.ts";

type KeySet = ReturnType<typeof createLocalJWKSet>;

/** Keys are asked for anew after this, so that one that was withdrawn is believed no longer. */
const ageMax = millis(60 * 60 * 1000);
/** Between two asks, whatever tokens come. */
const askPause = millis(10_000);
const keyCountMax = 100;
const issuersMax = 1000;

interface Entry {
  keys: KeySet | undefined;
  /** By the monotonic clock. */
  keysSince: number;
  askedAt: number;
  asking: Promise<KeySet> | undefined;
  fault: unknown;
}

/** Keys of issuers, kept for an hour and asked for at most each ten seconds. */
export class IssuerKeys {
  readonly #clock: Clock;
  readonly #fetcher: DocumentFetcher;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock, fetcher: DocumentFetcher) {
    this.#clock = clock;
    this.#fetcher = fetcher;
  }

  /**
   * The issuer's keys. `isStale`: those known have not the key that is looked for. Answers those known when it is too early
   * to ask again. @throws {FetchError} when there are none.
   */
  async get(issuer: string, isStale: boolean): Promise<KeySet> {
    const entry = this.#entryOf(issuer);
    const now = this.#clock.monotonic();
    const isFresh = entry.keys !== undefined && now - entry.keysSince < ageMax;
    if (entry.keys !== undefined && isFresh && !isStale) return entry.keys;
    if (entry.asking === undefined && now - entry.askedAt >= askPause) {
      entry.askedAt = now;
      entry.asking = this.#ask(issuer, entry).finally(() => (entry.asking = undefined));
      entry.asking.catch(() => undefined); // seen by whoever waits for it
    }
    if (entry.asking !== undefined) return entry.asking;
    if (entry.keys !== undefined && isFresh) return entry.keys;
    throw entry.fault instanceof FetchError ? entry.fault : new FetchError("it was asked just now");
  }

  async #ask(issuer: string, entry: Entry): Promise<KeySet> {
    try {
      const keys = await this.#fetchKeys(issuer);
      entry.keys = keys;
      entry.keysSince = this.#clock.monotonic();
      return keys;
    } catch (reason) {
      entry.fault = reason;
      throw reason;
    }
  }

  /** OpenID Connect Discovery 1.0 §4; the document must be the issuer's own. */
  async #fetchKeys(issuer: string): Promise<KeySet> {
    const place = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const discovered = await this.#fetcher.fetchJson(place, "loopback");
    const { issuer: named, jwks_uri: keysAt } = recordOf(discovered.json);
    if (named !== issuer) throw new FetchError("the document is of another issuer");
    if (typeof keysAt !== "string") throw new FetchError("the document names no keys");
    // A provider far away may not send this node to a place near by.
    const { json } = await this.#fetcher.fetchJson(keysAt, discovered.class);
    const { keys } = recordOf(json);
    if (!Array.isArray(keys) || keys.length > keyCountMax) {
      throw new FetchError("the keys are no list, or too many");
    }
    try {
      return createLocalJWKSet({ keys } as JSONWebKeySet);
    } catch (reason) {
      throw new FetchError("the keys cannot be read", { cause: reason });
    }
  }

  #entryOf(issuer: string): Entry {
    let entry = this.#entries.get(issuer);
    if (entry === undefined) {
      if (this.#entries.size >= issuersMax) this.#entries.clear();
      const never = -askPause;
      entry = {
        keys: undefined,
        keysSince: 0,
        askedAt: never,
        asking: undefined,
        fault: undefined,
      };
      this.#entries.set(issuer, entry);
    }
    return entry;
  }
}

const recordOf = (json: unknown): Readonly<Record<string, unknown>> =>
  typeof json === "object" && json !== null ? (json as Readonly<Record<string, unknown>>) : {};

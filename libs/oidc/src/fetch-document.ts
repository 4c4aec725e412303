import { lookup } from "node:dns/promises";
import { request as plainRequest } from "node:http";
import { request as secureRequest } from "node:https";
import { isIP } from "node:net";
import { rootCertificates } from "node:tls";
import { type AddressClass, classOfAddress } from "./address-class.ts";

const sizeMax = 1024 * 1024;
const timeout = 5000;

export interface FetchOptions {
  /** Providers on this machine are asked, also without TLS. */
  readonly allowLoopback: boolean;
  /** PEM of authorities that are trusted beside the system's. */
  readonly authority?: string | undefined;
}

/** What was fetched, and how near it was. */
export interface Fetched {
  readonly json: unknown;
  readonly class: AddressClass;
}

/** The document could not be had; the text says why and holds nothing of an answer. */
export class FetchError extends Error {
  override readonly name = "FetchError";
}

/** Gets small JSON documents of providers, and of nobody else. */
export class DocumentFetcher {
  readonly #options: FetchOptions;

  constructor(options: FetchOptions) {
    this.#options = options;
  }

  /**
   * One GET, 1 MiB and 5 s at most, no redirect. Every address that the name has is checked, and the connection goes to one
   * that was: a name that means another address a moment later gains nothing. `within`: no address nearer than this is asked.
   * @throws {FetchError}
   */
  async fetchJson(address: string, within: AddressClass): Promise<Fetched> {
    const url = URL.canParse(address) ? new URL(address) : undefined;
    if (url === undefined || url.username !== "" || url.password !== "") {
      throw new FetchError("the address is no URL");
    }
    const { allowLoopback } = this.#options;
    if (url.protocol !== "https:" && !(url.protocol === "http:" && allowLoopback)) {
      throw new FetchError("the address is not of https");
    }
    const places = await resolve(url.hostname.replace(/^\[|\]$/g, ""));
    const nearest = nearestOf(places.map(({ address: each }) => classOfAddress(each)));
    const isAllowed =
      nearness[nearest] <= nearness[within] && (nearest !== "loopback" || allowLoopback);
    if (!isAllowed || nearest === "never") throw new FetchError("the address may not be asked");
    if (url.protocol === "http:" && nearest !== "loopback") {
      throw new FetchError("the address is not of https");
    }
    const text = await this.#get(url, places);
    try {
      return { json: JSON.parse(text) as unknown, class: nearest };
    } catch (reason) {
      throw new FetchError("the document is no JSON", { cause: reason });
    }
  }

  /** Connects to the places that were checked and asks the name service no more. */
  #get(url: URL, places: readonly Place[]): Promise<string> {
    const { promise, resolve: done, reject } = Promise.withResolvers<string>();
    const refuse = (why: string, cause?: unknown) => reject(new FetchError(why, { cause }));
    const secure = url.protocol === "https:";
    const { authority } = this.#options;
    const request = (secure ? secureRequest : plainRequest)(
      url,
      {
        method: "GET",
        agent: false,
        headers: { accept: "application/json" },
        signal: AbortSignal.timeout(timeout),
        lookup: (_host, options, callback) => {
          if (options.all === true) callback(null, [...places]);
          else callback(null, places[0]!.address, places[0]!.family);
        },
        ...(secure && authority !== undefined ? { ca: [...rootCertificates, authority] } : {}),
      },
      (response) => {
        if (response.statusCode !== 200) {
          request.destroy();
          refuse(`the status is ${response.statusCode}`);
          return;
        }
        const parts: Buffer[] = [];
        let size = 0;
        response.on("data", (part: Buffer) => {
          size += part.byteLength;
          parts.push(part);
          if (size <= sizeMax) return;
          request.destroy();
          refuse("the document is too large");
        });
        response.on("error", (reason) => refuse("the document broke off", reason));
        response.on("end", () => done(Buffer.concat(parts).toString("utf8")));
      },
    );
    request.on("error", (reason) => refuse("there is no connection", reason));
    request.end();
    return promise;
  }
}

interface Place {
  readonly address: string;
  readonly family: number;
}

async function resolve(host: string): Promise<readonly Place[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  try {
    const places = await Promise.race([lookup(host, { all: true, order: "ipv4first" }), silence()]);
    if (places.length > 0) return places;
  } catch (reason) {
    throw new FetchError("the name has no address", { cause: reason });
  }
  throw new FetchError("the name has no address");
}

async function silence(): Promise<never> {
  await new Promise((done) => setTimeout(done, timeout).unref());
  throw new FetchError("the name service is silent");
}

const nearness: Readonly<Record<AddressClass, number>> = {
  public: 0,
  private: 1,
  loopback: 2,
  never: 3,
};

function nearestOf(classes: readonly AddressClass[]): AddressClass {
  return classes.reduce((a, b) => (nearness[a] >= nearness[b] ? a : b));
}

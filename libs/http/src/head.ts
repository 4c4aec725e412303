/** One header line. */
export interface HttpHeader {
  /** In lower case; a token of RFC 9110 §5.6.2. */
  readonly name: string;
  /** As sent but for spaces and tabs at both ends; one character per byte (0x20–0x7e, 0x80–0xff, tab). */
  readonly value: string;
}

export type BodyFraming =
  | { readonly kind: "none" }
  /** Content-Length, 1 or more. An explicit 0 is `none`, seen in `headers`. */
  | { readonly kind: "sized"; readonly size: number }
  | { readonly kind: "chunked" };

/** A request line and its headers, proven well-formed; owned by whoever got it, never changed. */
export interface RequestHead {
  /** A token, case as sent; never CONNECT. */
  readonly method: string;
  /** Origin form (`/…`) or, for OPTIONS, `*`: exactly the bytes sent, each in 0x21–0x7e, no `#`. */
  readonly target: string;
  readonly version: "1.0" | "1.1";
  /** In the order sent, duplicates kept. */
  readonly headers: readonly HttpHeader[];
  /** The one Host header's value, as sent: a name or address, maybe with a port; not empty. */
  readonly host: string;
  readonly body: BodyFraming;
  /** `Expect: 100-continue` was sent, maybe even without a body: the client may wait for an interim answer. */
  readonly expectsContinue: boolean;
  /** The connection may carry another request after this one's body. */
  readonly keepAlive: boolean;
}

/** The first value of `name` (lower case), or `undefined`. */
export function headerValue(headers: readonly HttpHeader[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i]!;
    if (header.name === name) return header.value;
  }
  return undefined;
}

/** Every value of `name` (lower case), in the order sent. */
export function headerValues(headers: readonly HttpHeader[], name: string): readonly string[] {
  const values: string[] = [];
  for (const header of headers) if (header.name === name) values.push(header.value);
  return values;
}

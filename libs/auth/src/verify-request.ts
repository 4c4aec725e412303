import type { WallTime } from "@kiseki/base";
import type { RequestHead } from "@kiseki/http";
import type { Crypto } from "@kiseki/ports";
import type { AuthFault } from "./fault.ts";
import type { PayloadMode } from "./payload-mode.ts";

/** What the look-up of access keys must know; callers add whose key it is. */
export interface AccessKey {
  /** Secret access key as given to the user. */
  readonly secret: string;
}

export interface SignatureOptions<Key extends AccessKey> {
  /**
   * The key of that id, or `undefined`. `sessionToken` is what `x-amz-security-token` held; the
   * look-up refuses (`undefined`) temporary keys without theirs and permanent keys with one.
   */
  readonly lookup: (accessKeyId: string, sessionToken: string | undefined) => Key | undefined;
  /** The only region taken in a scope; `undefined`: any. */
  readonly region: string | undefined;
}

export type AuthOutcome<Key extends AccessKey> =
  | {
      readonly kind: "signed";
      readonly accessKeyId: string;
      readonly key: Key;
      readonly payload: PayloadMode;
      /** Where the signature was. */
      readonly form: "header" | "query";
      readonly region: string;
    }
  /** Neither an Authorization header nor a query that looks signed: policy decides, else AccessDenied. */
  | { readonly kind: "anonymous" }
  | AuthFault;

export declare class SignatureVerifier<Key extends AccessKey> {
  constructor(crypto: Crypto, options: SignatureOptions<Key>);
  verify(head: RequestHead, now: WallTime): AuthOutcome<Key>;
}

/**
 * Tokens of OpenID Connect providers: who they speak of, proven by the provider's own keys. The only importer of jose.
 *
 * `OidcVerifier`: issuer → discovery → keys → claims. Invariants: a token is believed only for an issuer that is configured,
 * under a key that this issuer's own document names, of an algorithm that is the key's kind and never symmetric or none; keys
 * are asked for anew at a bounded rate whatever tokens come. `DocumentFetcher`: one bounded GET that follows no redirect and
 * connects to no address that was not checked.
 */
export { DocumentFetcher } from "./fetch-document.ts";
export type { OidcFault, VerifiedToken } from "./verify-token.ts";
export { OidcVerifier } from "./verify-token.ts";

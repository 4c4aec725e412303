import type { SessionTokens, TokenRefusal } from "@kiseki/auth";
import type { WallTime } from "@kiseki/base";
import type { Catalog } from "@kiseki/catalog";
import {
  federatedPrincipal,
  type PolicyDocument,
  type Principal,
  readStoredPolicy,
  rolePrincipal,
} from "@kiseki/policy";
import type { Identities, Identity } from "../identity.ts";
import { federatedName } from "./web-identity.ts";

type OpenSession = NonNullable<ReturnType<SessionTokens["open"]>>;
type Session = OpenSession["session"];

interface Known {
  /** What the catalog said of itself when the identity was made. */
  readonly generation: string;
  readonly parent: Identity | undefined;
  readonly identity: Identity | undefined;
}

/**
 * Whose a key is: one of the catalog's, or a temporary one with its token. A session is worth what those are worth now whom it
 * names: without its access key, its user, its role or its provider it is worth nothing.
 */
export class Sessions {
  readonly #catalog: Catalog;
  readonly #tokens: SessionTokens;
  readonly #identities: Identities;
  readonly #now: () => WallTime;
  readonly #known = new WeakMap<OpenSession, Known>();

  constructor(
    catalog: Catalog,
    tokens: SessionTokens,
    identities: Identities,
    now: () => WallTime,
  ) {
    this.#catalog = catalog;
    this.#tokens = tokens;
    this.#identities = identities;
    this.#now = now;
  }

  /** As `SignatureVerifier` asks. */
  lookUp(id: string, sessionToken: string | undefined): Identity | TokenRefusal | undefined {
    if (sessionToken === undefined) return this.#ofKey(id);
    const opened = this.#tokens.open(id, sessionToken);
    if (opened === undefined) return "InvalidToken";
    if (opened.session.expires <= this.#now()) return "ExpiredToken";
    return this.#ofSession(opened) ?? "InvalidToken";
  }

  #ofKey(id: string): Identity | undefined {
    const key = this.#catalog.lookUpAccessKey(id);
    return key && this.#identities.of(key);
  }

  #ofSession(opened: OpenSession): Identity | undefined {
    const { parentKey } = opened.session;
    const parent = parentKey === undefined ? undefined : this.#ofKey(parentKey);
    if (parentKey !== undefined && parent === undefined) return undefined;
    const generation = this.#catalog.generation();
    const known = this.#known.get(opened);
    if (known?.generation === generation && known.parent === parent) return known.identity;
    const identity = this.#make(opened, parent);
    this.#known.set(opened, { generation, parent, identity });
    return identity;
  }

  #make({ session, secret }: OpenSession, parent: Identity | undefined): Identity | undefined {
    const principal = this.#principalOf(session, parent);
    if (principal === undefined) return undefined;
    const { parentKey, provider } = session;
    return {
      secret,
      principal,
      accessKeyId: parentKey ?? session.accessKeyId,
      origin: {
        ...(parentKey === undefined ? {} : { parentKey }),
        ...(provider === undefined ? {} : { provider }),
      },
      ...(parent?.limits && { limits: parent.limits }),
    };
  }

  #principalOf(session: Session, parent: Identity | undefined): Principal | undefined {
    const { tenant, issued: tokenIssued } = session;
    const provider =
      session.provider === undefined ? undefined : this.#catalog.providers.lookUp(session.provider);
    if (session.provider !== undefined && provider === undefined) return undefined;
    const facts = {
      tokenIssued,
      tags: new Map(session.tags),
      claims: new Map(session.claims),
    };
    const { account, canonicalId } = this.#identities.account(tenant);
    const place = { tenant, account, canonicalId };
    switch (session.kind) {
      case "user": {
        if (parent === undefined) return undefined;
        const { principal } = parent;
        const sessionPolicies = [...principal.sessionPolicies, ...this.#narrowing(session)];
        return { ...principal, ...facts, sessionPolicies };
      }
      case "role": {
        const role =
          session.role === undefined ? undefined : this.#catalog.roles.lookUp(session.role);
        if (role === undefined) return undefined;
        const { id, name, policies } = role;
        const sessionName = session.sessionName ?? "session";
        const sessionPolicies = this.#narrowing(session);
        return rolePrincipal(place, { id, name, sessionName }, policies, {
          ...facts,
          sessionPolicies,
        });
      }
      default: {
        if (provider === undefined) return undefined;
        const policies = this.#catalog.policyDocuments(tenant, session.policyNames);
        const sessionPolicies =
          session.policy === undefined ? [] : [readStoredPolicy(session.policy, "session")];
        const name = federatedName(provider.name, session.subject ?? "");
        return federatedPrincipal(place, name, policies, {
          ...facts,
          sessionPolicies,
        });
      }
    }
  }

  /** The session policy and managed ones beside it allow together, as one document does. */
  #narrowing({ policy, policyNames, tenant }: Session): readonly PolicyDocument[] {
    const documents = [...this.#catalog.policyDocuments(tenant, policyNames)];
    if (policy !== undefined) documents.push(readStoredPolicy(policy, "session"));
    if (documents.length === 0) return [];
    const statements = documents.flatMap((document) => document.statements);
    return [{ version: "2012-10-17", statements }];
  }
}

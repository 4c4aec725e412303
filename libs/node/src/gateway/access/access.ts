/** The one place where a request is let in: what its call needs is asked of policies, ACLs and the account. */
import { fromUtf8 } from "@kiseki/base";
import {
  evaluate,
  mayEverAllow,
  type PolicyDocument,
  type Principal,
  type RequestContext,
} from "@kiseki/policy";
import { formatTaggingHeader, type S3Call, type Tag } from "@kiseki/s3";
import { fail } from "../failure.ts";
import { noSide } from "./bucket-side.ts";
import { conditionValues, type PlaceFacts, type RequestFacts } from "./conditions.ts";
import {
  callNeeds,
  copiedTagsNeeds,
  deleteNeeds,
  listNeed,
  lockNeed,
  type Need,
  possibleActions,
  putLockNeed,
  putTagsNeed,
  type RequestWords,
  tagsNeed,
} from "./needs.ts";

/** The account that owns what a tenant stores. */
export interface Account {
  /** 12 digits. */
  readonly account: string;
  readonly canonicalId: string;
  /** Of the tenant: what S3 shows beside the canonical id. */
  readonly name: string;
}

/** What stands on the side of a bucket. */
export interface BucketSide {
  readonly policy: PolicyDocument | undefined;
  /** RestrictPublicBuckets, and the policy is public. */
  readonly isRestricted: boolean;
  /** Objects may have other owners than the bucket, and ACLs may grant something. */
  readonly hasAcls: boolean;
  /** Whether ACLs grant what is needed. */
  readonly isGranted: (need: Need, principal: Principal) => boolean;
  /** Canonical id of who owns what is needed; `undefined`: the bucket's owner. */
  readonly objectOwner: (need: Need) => string | undefined;
  readonly objectTags: (need: Need) => ReturnType<PlaceFacts["objectTags"]>;
  readonly bucketTags: PlaceFacts["bucketTags"];
}

/** Headers in whose place others count; by lower-case name. */
type AskedHeaders = Readonly<Record<string, string | undefined>>;

export interface AccessParts {
  readonly principal: Principal;
  /** Whose the bucket is. */
  readonly ownerOf: (bucket: string) => Account;
  /** Made only when a policy has to be asked. */
  readonly facts: () => RequestFacts;
  readonly sideOf: (bucket: string) => BucketSide;
  /** Headers by which the upload that a need is part of may have been begun; none: there is no such upload. */
  readonly begunWords: (need: Need) => readonly AskedHeaders[];
}

function resourceOf({ bucket, key }: Need): string {
  if (bucket === undefined) return "arn:aws:s3:::*";
  return `arn:aws:s3:::${bucket}${key === undefined ? "" : `/${fromUtf8(key) ?? ""}`}`;
}

const noLock = {
  "x-amz-object-lock-mode": undefined,
  "x-amz-object-lock-retain-until-date": undefined,
  "x-amz-object-lock-legal-hold": undefined,
};

/** Only `Access.authorize` makes one, so that nothing runs that was not asked. */
export class Access {
  readonly #parts: AccessParts;
  #facts: RequestFacts | undefined;

  private constructor(parts: AccessParts) {
    this.#parts = parts;
  }

  /** Asks once for all that the call needs, before its body is read. @throws {GatewayFailure} `AccessDenied`. */
  static authorize(parts: AccessParts, call: S3Call): Access {
    const access = new Access(parts);
    if (access.#isFree("bucket" in call ? call.bucket : undefined) && !("source" in call)) {
      return access;
    }
    const { words } = access.#requestFacts();
    if (!callNeeds(call, words).every((need) => access.isAllowed(need))) throw fail("AccessDenied");
    const possible = possibleActions(call);
    if (possible.length > 0 && "bucket" in call && !access.#couldDo(possible, call.bucket)) {
      throw fail("AccessDenied");
    }
    return access;
  }

  get principal(): Principal {
    return this.#parts.principal;
  }

  isAllowed(need: Need): boolean {
    return (
      this.#isAllowedAsSent(need) || (need.partOf !== undefined && this.#isAllowedAsBegun(need))
    );
  }

  /** Headers of an upload come with its begin alone, and policies ask for them at each of its parts. */
  #isAllowedAsBegun(part: Need): boolean {
    const { principal, sideOf, begunWords } = this.#parts;
    const { partOf: _, ...need } = part;
    const { bucket, action } = need;
    if (bucket === undefined) return false;
    // Nothing is looked up for those who could put nothing.
    const couldPut = this.#couldDo([action], bucket) || sideOf(bucket).isGranted(need, principal);
    if (!couldPut) return false;
    return begunWords(part).some((words) => this.#isAllowedOf(need, words));
  }

  #isAllowedAsSent(need: Need): boolean {
    const isNewBucket = need.isNew === true && need.key === undefined;
    if (this.#isFree(isNewBucket ? undefined : need.bucket)) return true;
    const { principal, ownerOf, sideOf } = this.#parts;
    const side = need.bucket === undefined || isNewBucket ? noSide : sideOf(need.bucket);
    const owner = need.bucket === undefined ? undefined : ownerOf(need.bucket);
    const account = owner?.account ?? principal.account;
    const { policy, isRestricted } = side;
    const question = {
      action: need.action,
      resource: resourceOf(need),
      context: this.#contextOf(need, side, account),
    };
    const decision = evaluate(question, principal, {
      bucketOwner: account,
      owner: this.#accountOf(side.objectOwner(need), owner) ?? account,
      policy,
      isRestricted,
      isGranted: () => side.isGranted(need, principal),
    });
    return decision === "allowed";
  }

  /** One key of DeleteObjects. */
  mayDelete(bucket: string, key: Uint8Array, versionId: string | undefined): boolean {
    if (this.#isFree(bucket)) return true;
    const { words } = this.#requestFacts();
    return deleteNeeds({ bucket, key }, versionId, words).every((need) => this.isAllowed(need));
  }

  /** The tags of a document: conditions are about them, and not about what a header says. */
  mayPutTags(
    bucket: string,
    key: Uint8Array,
    versionId: string | undefined,
    tags: readonly Tag[],
  ): boolean {
    const asked = { "x-amz-tagging": formatTaggingHeader(tags) };
    return this.#isAllowedOf(putTagsNeed({ bucket, key }, versionId), asked);
  }

  /** The tags of a source that a copy takes along, as if its request had named them. */
  mayCopyTags(call: Extract<S3Call, { kind: "copy_object" }>, tags: readonly Tag[]): boolean {
    const asked = {
      "x-amz-tagging": formatTaggingHeader(tags),
      "x-amz-tagging-directive": "REPLACE",
    };
    return copiedTagsNeeds(call).every((need) => this.#isAllowedOf(need, asked));
  }

  /** The lock of a document, in the words of a put's headers: those beside the document set nothing. */
  mayPutLock(
    call: { readonly bucket: string; readonly key: Uint8Array },
    what: "PutObjectRetention" | "PutObjectLegalHold",
    asked: Readonly<Record<`x-amz-object-lock-${string}`, string | undefined>>,
  ): boolean {
    return this.#isAllowedOf(putLockNeed(call, what), { ...noLock, ...asked });
  }

  /** As if the request had these headers. */
  #isAllowedOf(need: Need, headers: AskedHeaders): boolean {
    if (this.#isFree(need.bucket)) return true;
    const other = this.#withWords((words) => ({
      ...words,
      header: (name) => (Object.hasOwn(headers, name) ? headers[name] : words.header(name)),
    }));
    return other.isAllowed(need);
  }

  /** Who may not read an object's tags is not told how many there are. */
  maySeeTags(bucket: string, key: Uint8Array, versionId: string | undefined): boolean {
    return this.isAllowed(tagsNeed({ bucket, key }, versionId));
  }

  /** Who may not read how a version is locked is not told beside its content. */
  maySeeLock(
    bucket: string,
    key: Uint8Array,
    what: "GetObjectRetention" | "GetObjectLegalHold",
  ): boolean {
    return this.isAllowed(lockNeed({ bucket, key }, what));
  }

  /** Who may not list a bucket is not told that a key is not in it. */
  maySeeMissing(bucket: string, key: Uint8Array, isVersion: boolean): boolean {
    if (this.#isFree(bucket)) return true;
    const need = listNeed(bucket, isVersion);
    const prefix = fromUtf8(key);
    const other = this.#withWords((words) => ({
      ...words,
      query: (name) => (name === "prefix" ? prefix : undefined),
    }));
    return other.isAllowed(need);
  }

  /** The same question of a request with other words. */
  #withWords(change: (words: RequestWords) => RequestWords): Access {
    const { words, ...facts } = this.#requestFacts();
    const asked: RequestFacts = { ...facts, words: change(words) };
    return new Access({ ...this.#parts, facts: () => asked });
  }

  /** The account's root under no policy at all: nothing can say no. */
  #isFree(bucket: string | undefined): boolean {
    const { principal, ownerOf, sideOf } = this.#parts;
    if (principal.kind !== "root" || principal.sessionPolicies.length > 0) return false;
    if (bucket === undefined) return true;
    if (principal.account !== ownerOf(bucket).account) return false;
    const { policy, hasAcls } = sideOf(bucket);
    return policy === undefined && !hasAcls;
  }

  /** Of an object's owner, as far as it makes a difference: the bucket's, the caller's, or somebody else. */
  #accountOf(canonicalId: string | undefined, owner: Account | undefined): string | undefined {
    const { principal } = this.#parts;
    if (canonicalId === undefined || canonicalId === owner?.canonicalId) return undefined;
    return canonicalId === principal.canonicalId ? principal.account : "another account";
  }

  #couldDo(actions: readonly string[], bucket: string): boolean {
    const { principal, ownerOf, sideOf } = this.#parts;
    const { policy } = sideOf(bucket);
    const { account } = ownerOf(bucket);
    const prefix = `arn:aws:s3:::${bucket}/`;
    return actions.some((action) => mayEverAllow({ action, prefix }, principal, account, policy));
  }

  #requestFacts(): RequestFacts {
    return (this.#facts ??= this.#parts.facts());
  }

  #contextOf(need: Need, side: BucketSide, owner: string): RequestContext {
    const place: PlaceFacts = {
      owner,
      objectTags: () => side.objectTags(need),
      bucketTags: side.bucketTags,
    };
    return { get: (key) => conditionValues(key, this.#requestFacts(), need, place) };
  }
}

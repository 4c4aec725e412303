/** ACLs of buckets and objects, and whether they mean anything in a bucket. */
import {
  type Acl,
  cannedAcl,
  decodeAcl,
  encodeAcl,
  isPlainAcl,
  isPrivateAcl,
  isPublicAcl,
} from "@kiseki/policy";
import {
  type AclRequest,
  type BucketAclCall,
  encodeNoOwnership,
  encodeOwnership,
  isFault,
  type ObjectOwnership,
  type ObjectSettingCall,
  type Owner,
  type OwnershipCall,
  ownershipSetting,
  parseAclDocument,
  publicAccessBlockSetting,
  type PutBucketAclCall,
  type PutObjectAclCall,
  type PutOwnershipCall,
  type S3Fault,
} from "@kiseki/s3";
import type { ObjectAttributes } from "@kiseki/format";
import { readCallDocument } from "./buckets.ts";
import { fail, GatewayFailure } from "./failure.ts";
import type { CallOutcome } from "./objects.ts";
import { type CallScope, findBucket, submit } from "./scope.ts";
import { findSetting, putSetting } from "./settings.ts";
import { findVersion, parseVersion, shownVersion } from "./versions.ts";

type BucketPlace = Pick<CallScope, "tenant" | "buckets">;

/** Of buckets that say nothing, and of those whose rule was taken away. */
export function bucketOwnership(place: BucketPlace, bucket: string): ObjectOwnership {
  const controls = findSetting(place, bucket, ownershipSetting);
  return controls === undefined ? "BucketOwnerEnforced" : (controls.ownership ?? "ObjectWriter");
}

/** What was kept; what cannot be read grants nothing to anybody. */
function readAcl(kept: Uint8Array | undefined, owner: Owner): Acl {
  if (kept === undefined) return cannedAcl("private", owner, owner);
  return decodeAcl(kept) ?? { owner, grants: [] };
}

/** With the tenant's name, which rows do not keep. */
function named<T extends Owner>({ nameOfAccount }: CallScope, account: T): T {
  return { ...account, displayName: nameOfAccount(account.id) ?? "" };
}
function namedAcl(scope: CallScope, { owner, grants }: Acl): Acl {
  return {
    owner: named(scope, owner),
    grants: grants.map((grant) => {
      const { grantee } = grant;
      return grantee.kind === "group" ? grant : { ...grant, grantee: named(scope, grantee) };
    }),
  };
}

export function bucketAcl(place: BucketPlace, bucket: string, owner: Owner): Acl {
  const decode = (kept: Uint8Array): Acl => readAcl(kept, owner);
  return findSetting(place, bucket, { stored: "acl", decode }) ?? readAcl(undefined, owner);
}
export function objectAcl({ acl }: Pick<ObjectAttributes, "acl">, bucketOwner: Owner): Acl {
  return readAcl(acl, bucketOwner);
}

/** Whom S3 shows as the owner of what has these attributes. */
export function ownerOfObject(
  scope: CallScope,
  bucket: string,
  attributes: Pick<ObjectAttributes, "acl">,
): Owner {
  const isEnforced = bucketOwnership(scope, bucket) === "BucketOwnerEnforced";
  return isEnforced ? scope.owner : named(scope, objectAcl(attributes, scope.owner).owner);
}

/** @throws {GatewayFailure} `InvalidArgument` for an account that is none. */
function aclOf(scope: CallScope, request: AclRequest, owner: Owner): Acl {
  if (request.kind === "canned") return cannedAcl(request.name, owner, scope.owner);
  const grants = request.grants.map((grant) => {
    const { grantee } = grant;
    if (grantee.kind === "group") return grant;
    const displayName = scope.nameOfAccount(grantee.id);
    if (displayName === undefined) {
      throw fail("InvalidArgument", "Invalid id", [
        ["ArgumentName", "CanonicalUser/ID"],
        ["ArgumentValue", grantee.id],
      ]);
    }
    return { ...grant, grantee: { ...grantee, displayName } };
  });
  return { owner, grants };
}

/** @throws {GatewayFailure} `AccessDenied` where the bucket keeps public ACLs out. */
function refusePublic(scope: CallScope, bucket: string, acl: Acl): void {
  const block = findSetting(scope, bucket, publicAccessBlockSetting);
  if (block?.blockPublicAcls === true && isPublicAcl(acl)) throw fail("AccessDenied");
}

/**
 * What a new object keeps of who may use it; nothing where the bucket's owner owns it alone.
 * @throws {GatewayFailure} `AccessControlListNotSupported`, `AccessDenied`, `InvalidArgument`.
 */
export function newObjectAcl(
  scope: CallScope,
  bucket: string,
  request: AclRequest | undefined,
): { readonly acl?: Uint8Array } {
  const ownership = bucketOwnership(scope, bucket);
  if (ownership === "BucketOwnerEnforced") {
    if (request !== undefined && !isPrivateAcl(aclOf(scope, request, scope.owner))) {
      throw fail("AccessControlListNotSupported");
    }
    return {};
  }
  const isHandedOver = request?.kind === "canned" && request.name === "bucket-owner-full-control";
  const { principal } = scope.access;
  const isOwners = principal.kind === "anonymous" || principal.canonicalId === scope.owner.id;
  const owner =
    isOwners || (ownership === "BucketOwnerPreferred" && isHandedOver)
      ? scope.owner
      : named(scope, { id: principal.canonicalId, displayName: "" });
  const acl = aclOf(scope, request ?? { kind: "canned", name: "private" }, owner);
  refusePublic(scope, bucket, acl);
  return owner.id === scope.owner.id && isPlainAcl(acl) ? {} : { acl: encodeAcl(acl) };
}

/**
 * The ACL that a PUT asks for, of headers or document.
 * @throws {GatewayFailure} `MalformedACLError`, `AccessDenied` for a document that names another owner.
 */
async function requestedAcl(
  scope: CallScope,
  call: PutBucketAclCall | PutObjectAclCall,
  owner: Owner,
): Promise<Acl> {
  if (call.acl !== undefined) return aclOf(scope, call.acl, owner);
  const document = parseAclDocument(await readCallDocument(scope, call));
  if (isFault(document)) throw new GatewayFailure(document);
  const { owner: named, grants } = document as Exclude<typeof document, S3Fault>;
  if (named !== undefined && named !== owner.id) throw fail("AccessDenied");
  return aclOf(scope, { kind: "grants", grants }, owner);
}

export function showBucketAcl(scope: CallScope, { bucket }: BucketAclCall): CallOutcome {
  const isEnforced = bucketOwnership(scope, bucket) === "BucketOwnerEnforced";
  const { owner } = scope;
  const acl = isEnforced ? readAcl(undefined, owner) : bucketAcl(scope, bucket, owner);
  return { result: { kind: "acl", acl: namedAcl(scope, acl) } };
}

export async function putBucketAcl(scope: CallScope, call: PutBucketAclCall): Promise<CallOutcome> {
  const { bucket } = call;
  const isEnforced = bucketOwnership(scope, bucket) === "BucketOwnerEnforced";
  const acl = await requestedAcl(scope, call, scope.owner);
  if (isEnforced) {
    if (!isPrivateAcl(acl)) throw fail("AccessControlListNotSupported");
    return { result: { kind: "setting_put" } };
  }
  refusePublic(scope, bucket, acl);
  await putSetting(scope, bucket, "acl", encodeAcl(acl));
  return { result: { kind: "setting_put" } };
}

export function showObjectAcl(scope: CallScope, call: ObjectSettingCall): CallOutcome {
  const { entry, cold } = findVersion(scope, call);
  const versionId = shownVersion(scope, call.bucket, entry);
  const isEnforced = bucketOwnership(scope, call.bucket) === "BucketOwnerEnforced";
  const acl = objectAcl(isEnforced ? {} : cold.attributes, scope.owner);
  return { result: { kind: "acl", versionId, acl: namedAcl(scope, acl) } };
}

export async function putObjectAcl(scope: CallScope, call: PutObjectAclCall): Promise<CallOutcome> {
  const { bucket, key } = call;
  const { entry, cold } = findVersion(scope, call);
  const isEnforced = bucketOwnership(scope, bucket) === "BucketOwnerEnforced";
  const { owner } = objectAcl(isEnforced ? {} : cold.attributes, scope.owner);
  const acl = await requestedAcl(scope, call, owner);
  const versionId = shownVersion(scope, bucket, entry);
  if (isEnforced) {
    if (!isPrivateAcl(acl)) throw fail("AccessControlListNotSupported");
    return { result: { kind: "setting_put", versionId } };
  }
  refusePublic(scope, bucket, acl);
  const isPlain = owner.id === scope.owner.id && isPlainAcl(acl);
  const operation = {
    kind: "set_object_extras",
    namespace: findBucket(scope, bucket).id,
    key,
    ...parseVersion(scope, call.versionId),
    changes: { acl: isPlain ? null : encodeAcl(acl) },
  } as const;
  await submit(scope, operation, "version");
  return { result: { kind: "setting_put", versionId } };
}

/** @throws {GatewayFailure} `InvalidBucketAclWithObjectOwnership`. */
export function checkNewBucketAccess(
  scope: CallScope,
  ownership: ObjectOwnership,
  request: AclRequest | undefined,
): Acl | undefined {
  const acl = request && aclOf(scope, request, scope.owner);
  if (ownership === "BucketOwnerEnforced" && acl !== undefined && !isPrivateAcl(acl)) {
    throw fail("InvalidBucketAclWithObjectOwnership");
  }
  return acl;
}

/** What CreateBucket said of who may use the bucket, once it is there. */
export async function keepNewBucketAccess(
  scope: CallScope,
  bucket: string,
  { ownership, acl }: { readonly ownership: ObjectOwnership; readonly acl: Acl | undefined },
): Promise<void> {
  if (ownership === "BucketOwnerEnforced") return;
  await putSetting(scope, bucket, "ownership", encodeOwnership(ownership));
  if (acl !== undefined && !isPlainAcl(acl)) await putSetting(scope, bucket, "acl", encodeAcl(acl));
}

export async function ownershipCall(
  scope: CallScope,
  call: OwnershipCall | PutOwnershipCall,
): Promise<CallOutcome> {
  const { bucket } = call;
  if (call.kind === "put_bucket_ownership") return putOwnership(scope, call);
  if (call.kind === "get_bucket_ownership") {
    const controls = findSetting(scope, bucket, ownershipSetting);
    if (controls !== undefined && controls.ownership === undefined) {
      throw fail("OwnershipControlsNotFoundError");
    }
    const kept = controls?.ownership && encodeOwnership(controls.ownership);
    const document = ownershipSetting.show(kept);
    if (isFault(document)) throw new GatewayFailure(document);
    const shown = document as Uint8Array;
    return { result: { kind: "setting_shown", document: shown, contentType: undefined } };
  }
  await putSetting(scope, bucket, "ownership", encodeNoOwnership());
  return { result: { kind: "setting_deleted" } };
}

async function putOwnership(scope: CallScope, call: PutOwnershipCall): Promise<CallOutcome> {
  const { bucket } = call;
  findBucket(scope, bucket);
  const kept = ownershipSetting.store(await readCallDocument(scope, call));
  if (isFault(kept)) throw new GatewayFailure(kept);
  const { ownership } = ownershipSetting.decode(kept as Uint8Array);
  const isClosing = ownership === "BucketOwnerEnforced";
  if (isClosing && !isPrivateAcl(bucketAcl(scope, bucket, scope.owner))) {
    throw fail("InvalidBucketAclWithObjectOwnership");
  }
  await putSetting(scope, bucket, "ownership", kept as Uint8Array);
  return { result: { kind: "setting_put" } };
}

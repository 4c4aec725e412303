import { type NodeAdminBackend, RpcError } from "@kiseki/rpc";
import {
  createAccessKey,
  deleteAccessKey,
  listAccessKeys,
  setAccessKeyLimits,
  setAccessKeyState,
} from "./access-keys.ts";
import { getCacheRules, setCacheRules } from "./cache-rules.ts";
import { createBucket, deleteBucket, listBuckets } from "./buckets.ts";
import { addDevice, cancelEvacuation, evacuateDevice, removeDevice } from "./change-devices.ts";
import { diagnose } from "./diagnose.ts";
import { exportEncryption } from "./encryption.ts";
import { toAdminError } from "./failure.ts";
import { importPolicy, importUser } from "./import-identities.ts";
import { lifecycleStatus } from "./lifecycle.ts";
import { listDeadLetters, listTargets, retryDeadLetters } from "./notifications.ts";
import { listHolds, releaseHold, setHold } from "./holds.ts";
import { getQuota, setQuota } from "./quotas.ts";
import { listKeysets, rekey, rotateKek, rotateMaster, showKmsKey } from "./rekey.ts";
import { replaceDevice } from "./replace-device.ts";
import { RoleAdmin } from "./roles.ts";
import { scrub } from "./scrub.ts";
import { shred } from "./shred.ts";
import { listDevices, readStatus } from "./status.ts";
import { createTenant, findTenant, listTenants } from "./tenants.ts";
import type { AdminParts } from "./types.ts";
import { UserAdmin } from "./users.ts";
import { verify } from "./verify.ts";

async function told<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (reason) {
    throw toAdminError(reason);
  }
}

const openTenant = (parts: AdminParts, word: string, signal: AbortSignal) =>
  parts.node.tenants.open(findTenant(parts, word), "write", signal);

/** Long work of which one at a time is enough: two would only be in each other's way. */
class Turn {
  readonly #name: string;
  #isTaken = false;
  constructor(name: string) {
    this.#name = name;
  }
  async *run<T>(work: AsyncIterable<T>): AsyncGenerator<T> {
    if (this.#isTaken) throw new RpcError("unavailable", `A ${this.#name} is under way already`);
    this.#isTaken = true;
    try {
      yield* work;
    } catch (reason) {
      throw toAdminError(reason);
    } finally {
      this.#isTaken = false;
    }
  }
}

type RoleCall =
  | "listRoles"
  | "createRole"
  | "setRoleTrust"
  | "attachRolePolicy"
  | "detachRolePolicy"
  | "deleteRole"
  | "listProviders"
  | "addProvider"
  | "removeProvider";

type UserCall =
  | "listUsers"
  | "createUser"
  | "setUserState"
  | "attachUserPolicy"
  | "detachUserPolicy"
  | "deleteUser"
  | "listPolicies"
  | "putPolicy"
  | "deletePolicy";

function userCalls(parts: AdminParts): Pick<NodeAdminBackend, UserCall> {
  const of = (word: string) => new UserAdmin(parts, findTenant(parts, word));
  return {
    listUsers: ({ tenant }) => told(() => ({ users: of(tenant).users() })),
    createUser: ({ name, policies, tenant }) =>
      told(() => ({ user: of(tenant).create(name, policies) })),
    setUserState: ({ name, isEnabled, tenant }) =>
      told(() => ({ user: of(tenant).setState(name, isEnabled) })),
    attachUserPolicy: ({ name, policy, tenant }) =>
      told(() => ({ user: of(tenant).attach(name, policy) })),
    detachUserPolicy: ({ name, policy, tenant }) =>
      told(() => ({ user: of(tenant).detach(name, policy) })),
    deleteUser: ({ name, tenant }) =>
      told(() => {
        of(tenant).delete(name);
        return {};
      }),
    listPolicies: ({ tenant }) => told(() => ({ policies: of(tenant).policies() })),
    putPolicy: ({ name, document, isUpdate, tenant }) =>
      told(() => ({ policy: of(tenant).putPolicy(name, document, isUpdate) })),
    deletePolicy: ({ name, tenant }) =>
      told(() => {
        of(tenant).deletePolicy(name);
        return {};
      }),
  };
}

function roleCalls(parts: AdminParts): Pick<NodeAdminBackend, RoleCall> {
  const of = (word: string) => new RoleAdmin(parts, findTenant(parts, word));
  return {
    listRoles: ({ tenant }) => told(() => ({ roles: of(tenant).roles() })),
    createRole: ({ name, trust, secondsMax, tenant }) =>
      told(() => ({ role: of(tenant).create(name, trust, secondsMax) })),
    setRoleTrust: ({ name, trust, tenant }) =>
      told(() => ({ role: of(tenant).setTrust(name, trust) })),
    attachRolePolicy: ({ name, policy, tenant }) =>
      told(() => ({ role: of(tenant).attach(name, policy) })),
    detachRolePolicy: ({ name, policy, tenant }) =>
      told(() => ({ role: of(tenant).detach(name, policy) })),
    deleteRole: ({ name, tenant }) =>
      told(() => {
        of(tenant).delete(name);
        return {};
      }),
    listProviders: ({ tenant }) => told(() => ({ providers: of(tenant).providers() })),
    addProvider: ({ name, issuer, clientIds, policyClaim, tenant }) =>
      told(() => ({ provider: of(tenant).addProvider(name, issuer, clientIds, policyClaim) })),
    removeProvider: ({ name, tenant }) =>
      told(() => {
        of(tenant).removeProvider(name);
        return {};
      }),
  };
}

const importCalls = (parts: AdminParts): Pick<NodeAdminBackend, "importPolicy" | "importUser"> => ({
  importPolicy: ({ name, document }) =>
    told(() => {
      importPolicy(parts, name, document);
      return {};
    }),
  importUser: (request) => told(() => ({ refusals: [...importUser(parts, request)] })),
});

type BucketCall =
  | "listBuckets"
  | "createBucket"
  | "deleteBucket"
  | "listHolds"
  | "setHold"
  | "releaseHold"
  | "getQuota"
  | "setQuota"
  | "getCacheRules"
  | "setCacheRules";
function bucketCalls(parts: AdminParts): Pick<NodeAdminBackend, BucketCall> {
  return {
    listBuckets: ({ after, countMax, tenant }, signal) =>
      told(async () => {
        const page = listBuckets(await openTenant(parts, tenant, signal), after, countMax);
        return { buckets: [...page.buckets], next: page.next };
      }),
    createBucket: ({ name, tenant }, signal) =>
      told(async () => ({
        bucket: await createBucket(parts, await openTenant(parts, tenant, signal), name),
      })),
    deleteBucket: ({ name, tenant }, signal) =>
      told(async () => {
        await deleteBucket(parts, await openTenant(parts, tenant, signal), name);
        return {};
      }),
    listHolds: ({ bucket, tenant }, signal) =>
      told(async () => listHolds(await openTenant(parts, tenant, signal), bucket)),
    setHold: (request, signal) =>
      told(async () => setHold(parts, await openTenant(parts, request.tenant, signal), request)),
    releaseHold: (request, signal) =>
      told(async () =>
        releaseHold(parts, await openTenant(parts, request.tenant, signal), request),
      ),
    getQuota: ({ bucket, tenant }, signal) =>
      told(async () => getQuota(await openTenant(parts, tenant, signal), bucket)),
    setQuota: (request, signal) =>
      told(async () => setQuota(parts, await openTenant(parts, request.tenant, signal), request)),
    getCacheRules: ({ tenant }) => told(() => getCacheRules(parts, tenant)),
    setCacheRules: (request) => told(() => setCacheRules(parts, request)),
  };
}

type NotificationCall = "listNotificationTargets" | "listDeadLetters" | "retryDeadLetters";
function notificationCalls(parts: AdminParts): Pick<NodeAdminBackend, NotificationCall> {
  const open = (tenant: string, signal: AbortSignal) => openTenant(parts, tenant, signal);
  return {
    listNotificationTargets: ({ tenant }, signal) =>
      told(async () => ({ targets: listTargets(parts, await open(tenant, signal)) })),
    listDeadLetters: (request, signal) =>
      told(async () => listDeadLetters(parts, await open(request.tenant, signal), request)),
    retryDeadLetters: ({ target, tenant }, signal) =>
      told(async () => retryDeadLetters(parts, await open(tenant, signal), target)),
  };
}

type AccessKeyCall =
  | "listAccessKeys"
  | "createAccessKey"
  | "setAccessKeyState"
  | "setAccessKeyLimits"
  | "deleteAccessKey";
function accessKeyCalls(parts: AdminParts): Pick<NodeAdminBackend, AccessKeyCall> {
  const of = (tenant: string) => findTenant(parts, tenant);
  return {
    listAccessKeys: ({ tenant }) =>
      told(() => ({ accessKeys: [...listAccessKeys(parts, of(tenant))] })),
    createAccessKey: (request) => told(() => createAccessKey(parts, of(request.tenant), request)),
    setAccessKeyState: ({ accessKeyId, isEnabled, tenant }) =>
      told(() => ({ accessKey: setAccessKeyState(parts, of(tenant), accessKeyId, isEnabled) })),
    setAccessKeyLimits: ({ accessKeyId, limits, tenant }) =>
      told(() => ({
        accessKey: setAccessKeyLimits(parts, of(tenant), accessKeyId, limits ?? {}),
      })),
    deleteAccessKey: ({ accessKeyId, tenant }) =>
      told(() => {
        deleteAccessKey(parts, of(tenant), accessKeyId);
        return {};
      }),
  };
}

/** Administration of a node at work. Scrub, verification, and changes of devices run one at a time each. */
export function openAdminBackend(parts: AdminParts): NodeAdminBackend {
  const { node } = parts;
  const replacing = new Turn("replacement");
  const adding = new Turn("new device");
  const evacuating = new Turn("evacuation that somebody looks at");
  const scrubbing = new Turn("scrub");
  const verifying = new Turn("verification");
  const shredding = new Turn("shred that somebody looks at");
  return {
    getVersion: async () => ({
      version: parts.version,
      cryptoModule: parts.crypto.version,
      cryptoIsFips: parts.crypto.isFips,
      runtime: `Bun ${process.versions.bun ?? "unknown"}`,
    }),
    getStatus: (_, signal) => told(() => readStatus(parts, signal)),
    diagnose: (_, signal) => told(async () => ({ findings: await diagnose(parts, signal) })),
    ...bucketCalls(parts),
    listTenants: () => told(() => listTenants(parts)),
    createTenant: ({ name }, signal) => told(() => createTenant(parts, name, signal)),
    shredTenant: (request, signal) => shredding.run(shred(parts, request, signal)),
    getLifecycleStatus: ({ tenant }, signal) =>
      told(async () =>
        lifecycleStatus(node.lifecycle, await openTenant(parts, tenant, signal), signal),
      ),
    ...notificationCalls(parts),
    ...accessKeyCalls(parts),
    ...userCalls(parts),
    ...roleCalls(parts),
    ...importCalls(parts),
    listDevices: () => told(() => ({ devices: [...listDevices(parts)] })),
    replaceDevice: (request, signal) => replacing.run(replaceDevice(parts, request, signal)),
    addDevice: (request, signal) => adding.run(addDevice(parts, request, signal)),
    evacuateDevice: (request, signal) => evacuating.run(evacuateDevice(parts, request, signal)),
    cancelEvacuation: (request) => told(() => cancelEvacuation(parts, request)),
    removeDevice: (request) => told(() => removeDevice(parts, request)),
    scrub: (_, signal) => scrubbing.run(scrub(parts, signal)),
    verify: (request, signal) => verifying.run(verify(parts, request, signal)),
    rekey: ({ tenant }, signal) => told(() => rekey(parts, tenant, signal)),
    showKmsKey: ({ tenant }) => told(() => showKmsKey(parts, tenant)),
    listKeysets: ({ tenant }, signal) => told(() => listKeysets(parts, tenant, signal)),
    rotateMaster: () => told(() => rotateMaster(parts)),
    rotateKek: ({ tenant }, signal) => told(() => rotateKek(parts, tenant, signal)),
    exportEncryption: ({ passphrase }) =>
      told(async () => ({ sealed: new Uint8Array(await exportEncryption(parts, passphrase)) })),
  };
}

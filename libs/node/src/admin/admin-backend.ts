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
import { listDevices, readStatus } from "./status.ts";
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
  const users = new UserAdmin(parts);
  return {
    listUsers: () => told(() => ({ users: users.users() })),
    createUser: ({ name, policies }) => told(() => ({ user: users.create(name, policies) })),
    setUserState: ({ name, isEnabled }) => told(() => ({ user: users.setState(name, isEnabled) })),
    attachUserPolicy: ({ name, policy }) => told(() => ({ user: users.attach(name, policy) })),
    detachUserPolicy: ({ name, policy }) => told(() => ({ user: users.detach(name, policy) })),
    deleteUser: ({ name }) =>
      told(() => {
        users.delete(name);
        return {};
      }),
    listPolicies: () => told(() => ({ policies: users.policies() })),
    putPolicy: ({ name, document, isUpdate }) =>
      told(() => ({ policy: users.putPolicy(name, document, isUpdate) })),
    deletePolicy: ({ name }) =>
      told(() => {
        users.deletePolicy(name);
        return {};
      }),
  };
}

function roleCalls(parts: AdminParts): Pick<NodeAdminBackend, RoleCall> {
  const roles = new RoleAdmin(parts);
  return {
    listRoles: () => told(() => ({ roles: roles.roles() })),
    createRole: ({ name, trust, secondsMax }) =>
      told(() => ({ role: roles.create(name, trust, secondsMax) })),
    setRoleTrust: ({ name, trust }) => told(() => ({ role: roles.setTrust(name, trust) })),
    attachRolePolicy: ({ name, policy }) => told(() => ({ role: roles.attach(name, policy) })),
    detachRolePolicy: ({ name, policy }) => told(() => ({ role: roles.detach(name, policy) })),
    deleteRole: ({ name }) =>
      told(() => {
        roles.delete(name);
        return {};
      }),
    listProviders: () => told(() => ({ providers: roles.providers() })),
    addProvider: ({ name, issuer, clientIds, policyClaim }) =>
      told(() => ({ provider: roles.addProvider(name, issuer, clientIds, policyClaim) })),
    removeProvider: ({ name }) =>
      told(() => {
        roles.removeProvider(name);
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
  const { node } = parts;
  return {
    listBuckets: ({ after, countMax }, signal) =>
      told(async () => {
        const page = listBuckets(await node.openDefaultTenant(signal), after, countMax);
        return { buckets: [...page.buckets], next: page.next };
      }),
    createBucket: ({ name }, signal) =>
      told(async () => ({
        bucket: await createBucket(parts, await node.openDefaultTenant(signal), name),
      })),
    deleteBucket: ({ name }, signal) =>
      told(async () => {
        await deleteBucket(parts, await node.openDefaultTenant(signal), name);
        return {};
      }),
    listHolds: ({ bucket }, signal) =>
      told(async () => listHolds(await node.openDefaultTenant(signal), bucket)),
    setHold: (request, signal) =>
      told(async () => setHold(parts, await node.openDefaultTenant(signal), request)),
    releaseHold: (request, signal) =>
      told(async () => releaseHold(parts, await node.openDefaultTenant(signal), request)),
    getQuota: ({ bucket }, signal) =>
      told(async () => getQuota(await node.openDefaultTenant(signal), bucket)),
    setQuota: (request, signal) =>
      told(async () => setQuota(parts, await node.openDefaultTenant(signal), request)),
    getCacheRules: ({ tenant }) => told(() => getCacheRules(parts, tenant)),
    setCacheRules: (request) => told(() => setCacheRules(parts, request)),
  };
}

/** Administration of a node at work. Scrub, verify and replacement run one at a time each; buckets and keys are the default tenant's. */
export function openAdminBackend(parts: AdminParts): NodeAdminBackend {
  const { node } = parts;
  const replacing = new Turn("replacement");
  const scrubbing = new Turn("scrub");
  const verifying = new Turn("verification");
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
    getLifecycleStatus: (_, signal) =>
      told(async () =>
        lifecycleStatus(node.lifecycle, await node.openDefaultTenant(signal), signal),
      ),
    listNotificationTargets: (_, signal) =>
      told(async () => ({ targets: listTargets(parts, await node.openDefaultTenant(signal)) })),
    listDeadLetters: (request, signal) =>
      told(async () => listDeadLetters(parts, await node.openDefaultTenant(signal), request)),
    retryDeadLetters: ({ target }, signal) =>
      told(async () => retryDeadLetters(parts, await node.openDefaultTenant(signal), target)),
    listAccessKeys: () => told(() => ({ accessKeys: [...listAccessKeys(parts)] })),
    createAccessKey: (request) => told(() => createAccessKey(parts, request)),
    setAccessKeyState: ({ accessKeyId, isEnabled }) =>
      told(() => ({ accessKey: setAccessKeyState(parts, accessKeyId, isEnabled) })),
    setAccessKeyLimits: ({ accessKeyId, limits }) =>
      told(() => ({ accessKey: setAccessKeyLimits(parts, accessKeyId, limits ?? {}) })),
    deleteAccessKey: ({ accessKeyId }) =>
      told(() => {
        deleteAccessKey(parts, accessKeyId);
        return {};
      }),
    ...userCalls(parts),
    ...roleCalls(parts),
    ...importCalls(parts),
    listDevices: () => told(() => ({ devices: [...listDevices(parts)] })),
    replaceDevice: (request, signal) => replacing.run(replaceDevice(parts, request, signal)),
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

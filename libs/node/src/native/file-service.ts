import { type NamespaceId, namespaceId, toHex } from "@kiseki/base";
import {
  findLock,
  getFile,
  getXattr,
  listDirectory,
  listXattrs,
  lookupName,
  lookupNamespace,
  type DirKeys,
  readLink,
  type RefusalCode,
} from "@kiseki/composition";
import type { MapReader } from "@kiseki/ports";
import { type NativeCall, toRulesMessage } from "@kiseki/rpc";
import type { OpenTenant } from "../object/types.ts";
import { identityOf } from "./identity.ts";
import { cachePolicyOf, keyHealthOf } from "./cache-policy.ts";
import { codeOf, failureFor, NativeRefusal } from "./failure.ts";
import {
  type Files,
  fromInode,
  fromLock,
  fromRef,
  toAttributes,
  toLock,
  toType,
} from "./messages.ts";
import type { Native } from "./native.ts";
import { planFiles, planRead, seek } from "./read-plan.ts";
import { readStatistics } from "./statistics.ts";
import { sessionLeaseMs, type NativeSession } from "./sessions.ts";
import { watchChanges } from "./watch-changes.ts";

const listCountMax = 1024;
const operationsMax = 256;

interface Addressed {
  readonly session: Uint8Array;
  readonly namespace: Uint8Array;
}
/** What a call of a session works on. */
export interface FileScope {
  readonly session: NativeSession;
  readonly tenant: OpenTenant;
  readonly namespace: NamespaceId;
}

/** Answers `{ failure }` for what a client may know. @throws bugs */
async function answering<T>(
  work: () => Promise<T> | T,
): Promise<T | { readonly failure: ReturnType<typeof failureFor> }> {
  try {
    return await work();
  } catch (reason) {
    const code = codeOf(reason);
    if (code === undefined) throw reason;
    return { failure: failureFor(code) };
  }
}

/** @throws {NativeRefusal} */
async function scopeOf(
  native: Native,
  { session: id, namespace }: Addressed,
  call: NativeCall,
  need: "read" | "write",
): Promise<FileScope> {
  const session = native.sessions.use(id, identityOf(call.peer));
  if (namespace.byteLength !== 16) throw new NativeRefusal("invalid");
  const tenant = await native.openTenant(session.tenant, need, call.signal);
  return { session, tenant, namespace: namespaceId(namespace.slice()) };
}

const isRefused = (found: { readonly kind: string }): found is Refused => found.kind === "refused";
interface Refused {
  readonly kind: "refused";
  readonly code: RefusalCode;
}

/** Looks at one state of the map. @throws {NativeRefusal} for what it refuses. */
function look<T extends { readonly kind: string }>(
  { tenant }: FileScope,
  body: (map: MapReader, dirKeys: DirKeys) => T,
): Exclude<T, { readonly kind: "refused" }> {
  const dirKeys = tenant.dirKeys(tenant.keys("read"));
  const found = tenant.store.view((map) => body(map, dirKeys));
  if (isRefused(found)) throw new NativeRefusal(found.code);
  return found as Exclude<T, { readonly kind: "refused" }>;
}

/** What the client may open from now on. */
function tell(
  { session, tenant }: FileScope,
  attributes: Parameters<typeof toAttributes>[0],
): ReturnType<typeof toAttributes> {
  if (attributes.type === "file") tenant.keepers.told(attributes.ref.inode, session.clientId);
  return toAttributes(attributes);
}

/** `FileService` over a node. */
export function fileService(native: Native): Files {
  /** A read of one namespace. */
  const reading =
    <Request extends Addressed, Answer>(
      work: (scope: FileScope, request: Request) => Answer | Promise<Answer>,
    ) =>
    (request: Request, call: NativeCall) =>
      answering(async () => work(await scopeOf(native, request, call, "read"), request));
  return {
    ...sessionCalls(native),
    ...nameCalls(reading),
    getStatistics: reading((scope) => readStatistics(native, scope)),
    planRead: reading((scope, request) => planRead(native, scope, request)),
    planFiles: reading((scope, request) => planFiles(native, scope, request)),
    seek: reading((scope, request) => seek(native, scope, request)),
    watchChanges: async function* (request, call) {
      yield* watchChanges(native, await scopeOf(native, request, call, "read"), request, call);
    },
    apply: (request, call) =>
      answering(async () => {
        const { operations } = request;
        if (operations.length < 1 || operations.length > operationsMax) {
          throw new NativeRefusal("invalid");
        }
        const { session, tenant, namespace } = await scopeOf(native, request, call, "write");
        return { results: await native.applier.apply(session, tenant, namespace, operations) };
      }),
  } satisfies Files;
}

function sessionCalls(
  native: Native,
): Pick<
  Files,
  | "openSession"
  | "renewSession"
  | "closeSession"
  | "getNamespace"
  | "getCachePolicy"
  | "getKeyHealth"
> {
  const { catalog, tenantKeys } = native.node.storage;
  return {
    openSession: (request, call) => native.openSession(request, call),
    renewSession: ({ session }, { peer }) =>
      answering(() => {
        native.sessions.use(session, identityOf(peer));
        return { leaseMs: sessionLeaseMs };
      }),
    closeSession: ({ session }, { peer }) =>
      answering(async () => {
        await native.closeSession(native.sessions.use(session, identityOf(peer)));
        return {};
      }),
    getCachePolicy: ({ session }, { peer }) =>
      answering(() => {
        const { tenant } = native.sessions.use(session, identityOf(peer));
        return { policy: toRulesMessage(cachePolicyOf(catalog, tenant)) };
      }),
    getKeyHealth: ({ session }, { peer, signal }) =>
      answering(async () => {
        const { tenant } = native.sessions.use(session, identityOf(peer));
        return { health: await keyHealthOf(tenantKeys, tenant, signal) };
      }),
    getNamespace: ({ session: id, name }, call) =>
      answering(async () => {
        const session = native.sessions.use(id, identityOf(call.peer));
        const tenant = await native.openTenant(session.tenant, "read", call.signal);
        const found = tenant.store.view((map) => lookupNamespace(map, name));
        if (found === undefined) throw new NativeRefusal("no_such_namespace");
        const { root, isReadOnly, versioning, isLockEnabled } = found;
        return { namespace: found.id, root, isReadOnly, versioning, isLockEnabled };
      }),
  };
}

type Reading = <Request extends Addressed, Answer>(
  work: (scope: FileScope, request: Request) => Answer | Promise<Answer>,
) => (
  request: Request,
  call: NativeCall,
) => Promise<Answer | { readonly failure: ReturnType<typeof failureFor> }>;

function nameCalls(
  reading: Reading,
): Pick<
  Files,
  "lookup" | "getAttributes" | "listDirectory" | "readLink" | "getXattr" | "listXattrs" | "testLock"
> {
  return {
    lookup: reading((scope, { parent, name }) => {
      const place = { namespace: scope.namespace, directory: fromInode(parent), name };
      const { attributes } = look(scope, (map, keys) => lookupName(map, keys, place));
      return { attributes: tell(scope, attributes) };
    }),
    getAttributes: reading((scope, { file }) => {
      const ref = fromRef(scope.namespace, file);
      const { attributes } = look(scope, (map, keys) => getFile(map, keys, ref));
      return { attributes: tell(scope, attributes) };
    }),
    listDirectory: reading((scope, request) => {
      const { directory, cookie, countMax, withAttributes } = request;
      if (countMax > listCountMax) throw new NativeRefusal("invalid");
      const query = {
        namespace: scope.namespace,
        directory: fromInode(directory),
        countMax: countMax === 0 ? listCountMax : countMax,
        after: cookie.byteLength === 0 ? undefined : cookie,
      };
      const page = look(scope, (map, keys) => listDirectory(map, keys, query));
      const entries = page.items.map(({ name, attributes, cookie: after }) => ({
        name,
        inode: attributes.ref.inode,
        type: toType(attributes.type),
        cookie: after,
        ...(withAttributes ? { attributes: tell(scope, attributes) } : {}),
      }));
      return page.next === undefined ? { entries, isEnd: true } : { entries, next: page.next };
    }),
    readLink: reading((scope, { file }) => {
      const ref = fromRef(scope.namespace, file);
      return { target: look(scope, (map, keys) => readLink(map, keys, ref)).target };
    }),
    getXattr: reading((scope, { file, name }) => {
      const ref = fromRef(scope.namespace, file);
      return { value: look(scope, (map, keys) => getXattr(map, keys, ref, name)).value };
    }),
    listXattrs: reading((scope, { file }) => {
      const ref = fromRef(scope.namespace, file);
      return { names: [...look(scope, (map, keys) => listXattrs(map, keys, ref)).names] };
    }),
    testLock: reading((scope, request) => {
      const lock = fromLock(request.lock);
      const { clientId: client } = scope.session;
      const query = { file: fromRef(scope.namespace, request.file), client, lock };
      const found = look(scope, (map, keys) => findLock(map, keys, query));
      if (found.kind === "free") return {};
      const isOwn = toHex(found.client) === toHex(client);
      return { conflict: { ...toLock(found.lock), process: isOwn ? found.lock.pid : 0 } };
    }),
  };
}

import { readFileSync } from "node:fs";
import { type Epoch, epoch, millis, type TenantId } from "@kiseki/base";
import { AliasQueue } from "@kiseki/catalog";
import { DocumentFetcher, OidcVerifier } from "@kiseki/oidc";
import { chunkSizeMax, type Clock } from "@kiseki/ports";
import type { Logger } from "@kiseki/telemetry";
import { AccessLog } from "../gateway/access-log.ts";
import { defaultRegion, Gateway, type GatewayOptions } from "../gateway/handler.ts";
import { Identities } from "../gateway/identity.ts";
import { Sessions } from "../gateway/sts/sessions.ts";
import { Sts } from "../gateway/sts/sts.ts";
import { Budget } from "../object/budget.ts";
import { mapClasses } from "../object/storage-classes.ts";
import type { DataPorts, OpenTenant } from "../object/types.ts";
import { readPools, readStorageClasses } from "../config/pools.ts";
import { Shredding } from "../keys/shredding.ts";
import type { ShredParts } from "../keys/shred-tenant.ts";
import type { ShredReport } from "@kiseki/kms";
import { Workflows } from "../advisory/workflows.ts";
import { KeysetFollower } from "../keys/follow-keysets.ts";
import type { Credentials } from "./config-directory.ts";
import { allNodeSafeties } from "../safeties.ts";
import type { Notifier } from "../notify/notifier.ts";
import { openNotifier } from "../notify/open-notifier.ts";
import { Housekeeping } from "./housekeeping.ts";
import { openStorage, type Storage, type StorageParts } from "./open-storage.ts";
import { sealedShards } from "./sealed-shards.ts";
import { LifecycleWorker } from "../lifecycle/lifecycle-worker.ts";
import { SpaceWatch } from "./space.ts";
import { Tenants } from "./tenants.ts";
import { HealthWatch } from "./watch-health.ts";

/** A storage node at work, without its listeners. */
export interface StorageNode extends AsyncDisposable {
  readonly storage: Storage;
  readonly gateway: Gateway;
  readonly tenants: Tenants;
  readonly aliases: AliasQueue;
  readonly notifier: Notifier;
  readonly accessLog: AccessLog;
  readonly ports: DataPorts;
  readonly workflows: Workflows;
  readonly keysets: KeysetFollower;
  readonly lifecycle: LifecycleWorker;
  readonly epoch: Epoch;
  readonly startedAt: number;
  readonly defaultTenant: TenantId;
  /** The first access key, as the config directory holds it. */
  readonly credentials: Credentials;
  /** See `shredTenant`. Once begun it goes on until the node closes, and then at the next start. */
  shred(tenant: TenantId, onDestroyed?: (report: ShredReport) => void): Promise<ShredReport>;
  /** Opens the default tenant: what administration works on. */
  openDefaultTenant(signal: AbortSignal): Promise<OpenTenant>;
}

/** Part of the arena that is shared out; the rest is for what the chunk store keeps between requests. */
const budgetShare = 0.85;
const defaultTenantName = "default";

/** What the data path and everything above it works with. */
function portsOf(
  { clock, prng, crypto, metrics, settings }: StorageParts,
  storage: Storage,
): DataPorts {
  const { chunkStore, datapath } = storage;
  return {
    clock,
    prng,
    crypto,
    metrics,
    datapath,
    chunkStore,
    poolOf: openClasses(settings, chunkStore),
    budget: new Budget(Math.floor(datapath.arena.sizeTotal * budgetShare)),
    smallSizeMax: settings.smallSizeMax,
    chunkSize: chunkSizeMax,
    safeties: allNodeSafeties,
  };
}

function openClasses(
  { pools, storageClasses }: StorageParts["settings"],
  chunkStore: DataPorts["chunkStore"],
): DataPorts["poolOf"] {
  const mapping = readStorageClasses(storageClasses, readPools(pools).value).value;
  return mapClasses(mapping, chunkStore.pools());
}

/** Stands for the node in clocks. */
const nodeNumber = ({ clusterId }: Storage): bigint =>
  new DataView(clusterId.buffer, clusterId.byteOffset).getBigUint64(0, true);

/** Opens storage, counts the start, opens the default tenant, and begins housekeeping. */
export async function openNode(parts: StorageParts): Promise<StorageNode> {
  const { clock, metrics, settings, log } = parts;
  await using building = new AsyncDisposableStack();
  const storage = building.use(await openStorage(parts));
  const { tenantKeys } = storage;
  const nodeEpoch = await countStart(storage);
  const ports = portsOf(parts, storage);
  const space = await SpaceWatch.open(storage.directories);
  const notifier = openNotifier(parts, ports);
  const tenants = building.use(
    new Tenants({
      subscriber: notifier,
      ports,
      keys: tenantKeys,
      openShard: sealedShards(parts, storage.members, storage.scrub),
      nodeEpoch,
      node: nodeNumber(storage),
      acceptLoss: settings.acceptLoss,
      admission: () => space.admission,
      onFatal: parts.onFatal,
    }),
  );
  building.use(notifier);
  const shredParts: ShredParts = { ...storage, tenants, metrics };
  const shredding = building.use(new Shredding(shredParts, log));
  await shredding.finish();
  const { tenant, credentials } = await ensureFirst(parts, storage);
  const openDefaultTenant = (signal: AbortSignal) => tenants.open(tenant, "write", signal);
  await openFirst(openDefaultTenant, log);
  const keysets = new KeysetFollower({ ports, tenants, log, ...storage });
  const health = watchHealth(parts, storage);
  const lifecycle = openLifecycle(parts, storage, { ports, tenants });
  building.use(
    new Housekeeping({
      ports,
      tenants,
      space,
      keysets,
      health,
      lifecycle,
      notifiedTenants: () =>
        notifier.targets.length === 0 ? [] : storage.catalog.tenants().map(({ id }) => id),
      scrub: storage.scrub,
      log,
      collectSeconds: settings.collectSeconds,
      scrubHours: settings.scrubHours,
    }),
  );
  const aliases = new AliasQueue(storage.catalog);
  const accessLog = building.use(openAccessLog(parts, ports, tenants));
  const workflows = new Workflows(clock, metrics, storage.catalog);
  const shown = { ports, tenants, aliases, notifier, accessLog, workflows, defaultTenant: tenant };
  const gateway = new Gateway(gatewayOptions(parts, storage, shown));
  const owned = building.move();
  return {
    storage,
    ...shown,
    gateway,
    keysets,
    lifecycle,
    epoch: nodeEpoch,
    startedAt: clock.realtime(),
    credentials,
    shred: (tenant, onDestroyed) => shredding.shred(tenant, onDestroyed),
    openDefaultTenant,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const watchHealth = ({ metrics, log }: StorageParts, { chunkStore, members }: Storage) =>
  new HealthWatch({
    metrics,
    log,
    pools: () => chunkStore.pools(),
    members: () => members.status(),
  });

const openAccessLog = (
  { settings, log }: StorageParts,
  ports: DataPorts,
  tenants: Tenants,
): AccessLog =>
  new AccessLog({
    ports,
    log,
    openTenant: (tenant, signal) => tenants.open(tenant, "write", signal),
    region: settings.region === "" ? defaultRegion : settings.region,
    interval: millis(settings.bucketLoggingInterval * 1000),
  });

const calendarDaySeconds = 86_400;

function openLifecycle(
  { settings, log }: StorageParts,
  { catalog }: Storage,
  { ports, tenants }: Pick<StorageNode, "ports" | "tenants">,
): LifecycleWorker {
  const { lifecycleDaySeconds: seconds, lifecycleRate: ratePerSecond } = settings;
  return new LifecycleWorker({
    ports,
    tenants,
    tenantIds: () => catalog.tenants().map(({ id }) => id),
    log,
    day: { ms: seconds * 1000, isRounded: seconds === calendarDaySeconds },
    ratePerSecond,
  });
}

/** A KMS that is silent at the start keeps its tenant closed, and nothing else waits for it. */
async function openFirst(
  open: (signal: AbortSignal) => Promise<OpenTenant>,
  log: Logger,
): Promise<void> {
  try {
    await open(new AbortController().signal);
  } catch (reason) {
    const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
    log.error({ error }, "the default tenant does not open yet; requests try again");
  }
}

/** One higher than any start that config directory or devices know of, noted in both before anything is written under it. */
async function countStart({ config, chunkStore }: Storage): Promise<Epoch> {
  const noted = await config.readEpoch();
  const seen = chunkStore.notedEpoch;
  const next = epoch((noted > seen ? noted : seen) + 1n);
  await config.writeEpoch(next);
  await chunkStore.noteEpoch(next);
  return next;
}

async function ensureFirst(
  { settings }: StorageParts,
  { catalog, tenantKeys, config }: Storage,
): Promise<{ readonly tenant: TenantId; readonly credentials: Credentials }> {
  const { tenant, root } = catalog.ensureDefaultTenant(defaultTenantName);
  if (!tenantKeys.has(tenant.id)) {
    const ttl = millis(settings.kekSeconds * 1000);
    await tenantKeys.provision(tenant.id, { ttl }, new AbortController().signal);
  }
  const known = await config.readCredentials();
  if (known) return { tenant: tenant.id, credentials: known };
  const { id, secret } = catalog.createAccessKey(root.id);
  const credentials = { accessKey: id, secretKey: secret };
  await config.writeCredentials(credentials);
  return { tenant: tenant.id, credentials };
}

/** @throws {Error} when the authority cannot be read. */
function openOidc(clock: Clock, settings: StorageParts["settings"]): OidcVerifier {
  const { oidcAllowLoopback: allowLoopback, oidcAuthority: path } = settings;
  const authority = path === "" ? undefined : readFileSync(path, "utf8");
  return new OidcVerifier(clock, new DocumentFetcher({ allowLoopback, authority }));
}

function gatewayOptions(
  { settings, clock, crypto, log }: StorageParts,
  { catalog, sessionTokens: tokens }: Storage,
  parts: Pick<
    StorageNode,
    "ports" | "tenants" | "aliases" | "notifier" | "accessLog" | "workflows" | "defaultTenant"
  >,
): GatewayOptions {
  const { ports, tenants, aliases, notifier, accessLog, workflows, defaultTenant } = parts;
  const now = () => clock.realtime();
  const identities = new Identities(crypto, (tenant) => ({
    account: catalog.account(tenant),
    name: catalog.tenant(tenant)?.name ?? "",
  }));
  const sessions = new Sessions(catalog, tokens, identities, now);
  const region = settings.region === "" ? undefined : settings.region;
  const sts = new Sts({
    ports,
    catalog,
    sessions,
    tokens,
    oidc: openOidc(clock, settings),
    region,
    onError(requestId, reason) {
      const error = reason instanceof Error ? reason.name : "unknown";
      const stack = reason instanceof Error ? reason.stack : undefined;
      log.error({ requestId, error, stack }, "request of sts failed");
    },
  });
  return {
    ports,
    log,
    region,
    addressing: { baseHosts: settings.domains },
    websiteDomains: settings.websiteDomains,
    allowPlaintext: settings.allowPlaintext,
    keyLimits: {
      requestsPerSecond: settings.keyRequestsPerSecond,
      burst: settings.keyBurst,
      bytesPerSecond: settings.keyBytesPerSecond,
      requestsAtOnce: settings.keyRequestsAtOnce,
    },
    lookUpIdentity: (id, sessionToken) => sessions.lookUp(id, sessionToken),
    sts,
    notifier,
    accessLog,
    workflows,
    openTenant: (tenant, need, request) =>
      tenants.openNow(tenant, need) ?? tenants.open(tenant, need, request.signal),
    accountOf: (tenant) => identities.account(tenant),
    lookUpAlias: (bucket) => catalog.lookUpAlias(bucket),
    nameOfAccount: (id) =>
      catalog.tenants().find((tenant) => identities.account(tenant.id).canonicalId === id)?.name,
    defaultOwnership: settings.objectOwnership,
    defaultTenant,
    aliases,
  };
}

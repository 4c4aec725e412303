import { ChunkTickets, SessionTokens } from "@kiseki/auth";
import type { AwsLc } from "@kiseki/aws-lc";
import { millis, type Prng } from "@kiseki/base";
import { type Catalog, openCatalog } from "@kiseki/catalog";
import type { ChunkPools } from "@kiseki/chunk-store";
import { type DatapathOptions, type NativeDatapath, openDatapath } from "@kiseki/datapath";
import { makeDirectory } from "@kiseki/host";
import { ClusterKeyring, type KeyTools, poolSecrets } from "@kiseki/keys";
import {
  createClusterKey,
  hasClusterKey,
  InternalKms,
  KeyStore,
  openClusterKey,
  openTenantKeys,
  type TenantKeys,
} from "@kiseki/kms";
import type { Clock, Metrics } from "@kiseki/ports";
import { closeSlot, loadSealedSqlite, type MemberSet, openMembers } from "@kiseki/sealed-sqlite";
import type { Logger } from "@kiseki/telemetry";
import type { serverSettings } from "../config/server-settings.ts";
import type { Settings } from "../config/parse-settings.ts";
import { ConfigDirectory, keyFiles } from "./config-directory.ts";
import { allDevicePaths, openPools } from "./open-pools.ts";
import { namingFile, openSealedFile } from "./sealed-files.ts";
import { SealedScrub } from "./sealed-scrub.ts";

export type ServerSettings = Settings<typeof serverSettings>;

export interface StorageParts {
  readonly clock: Clock;
  readonly prng: Prng;
  readonly crypto: AwsLc;
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly settings: ServerSettings;
  /** Where `scripts/native` put the libraries. */
  readonly nativeDirectory: string;
  /** Called once, at the very first start; the code is kept nowhere. */
  readonly onRecoveryCode: (code: string) => void;
  /** The last member is lost: the process must end. */
  readonly onFatal: (reason: unknown) => void;
}

/** Everything below the tenants: keys, catalog, devices. Disposed in the reverse order of opening. */
export interface Storage extends AsyncDisposable {
  readonly config: ConfigDirectory;
  readonly clusterId: Uint8Array;
  readonly members: MemberSet;
  readonly tenantKeys: TenantKeys;
  readonly catalog: Catalog;
  readonly sessionTokens: SessionTokens;
  readonly chunkTickets: ChunkTickets;
  /** Of the sealed files that are open. */
  readonly scrub: SealedScrub;
  readonly datapath: NativeDatapath;
  readonly chunkStore: ChunkPools;
  readonly directories: readonly string[];
}

const memberSilentMax = millis(30_000);
const deviceThreadsMin = 4;

/** Opens a node's storage; at the first start makes keys, files and devices. @throws typed errors that say what to do. */
export async function openStorage(parts: StorageParts): Promise<Storage> {
  const { settings, crypto, prng, clock, log } = parts;
  await using building = new AsyncDisposableStack();
  const config = await ConfigDirectory.open(settings.configDir);
  const directories = [settings.dataDir, ...settings.mirrors];
  await makeDirectory(settings.dataDir);
  for (const mirror of settings.mirrors) {
    await makeDirectory(mirror).catch((reason: unknown) => {
      // Its disk is not there or fails: the others go on without it, and status says so.
      log.error({ mirror, error: String(reason) }, "a mirror cannot be used");
    });
  }
  const places = { configDirectory: config.path, directories };
  const keyParts = { crypto, prng, files: keyFiles };
  const cluster = await openOrMakeClusterKey(parts, keyParts, places);
  const tools: KeyTools = { crypto, openSecret: poolSecrets(crypto.openSecret, crypto.wipe) };
  const keyring = building.use(new ClusterKeyring(tools, cluster.clusterKey));
  loadSealedSqlite(parts.nativeDirectory);
  const members = building.adopt(openMemberSet(parts, config, directories), (set) => set.close());
  const scrub = new SealedScrub(members);
  const isNew = !(await config.hasDevices());
  const openFile = (name: string) => {
    const keys = { keyset: 1, of: () => keyring };
    const file = openSealedFile(parts, members, name, keys, isNew);
    building.defer(() => {
      scrub.forget(file);
      closeSlot(file.slot);
    });
    scrub.add(file);
    return building.adopt(file.open({ readOnly: false }), (database) => database.close(true));
  };
  const absentMembers = () => awayMembers(members);
  const tenantKeys = namingFile(members, "key-store", () => {
    const store = KeyStore.open(openFile("key-store"));
    const kms = InternalKms.open({ clock, prng, tools, cluster: keyring, store });
    const cluster = keyring;
    return building.use(openTenantKeys({ clock, prng, tools, cluster, store, kms, absentMembers }));
  });
  const catalog = namingFile(members, "catalog", () =>
    openCatalog({ clock, prng, database: openFile("catalog"), isAlone: true }),
  );
  const datapath = building.use(openDatapath(datapathOptions(parts)));
  const chunkStore = building.use(
    await openPools({ ...parts, config, datapath, clusterId: cluster.clusterId }),
  );
  const owned = building.move();
  return {
    config,
    clusterId: cluster.clusterId,
    members,
    scrub,
    tenantKeys,
    catalog,
    sessionTokens: new SessionTokens(crypto, prng, keyring),
    chunkTickets: new ChunkTickets(crypto, keyring),
    datapath,
    chunkStore,
    directories,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const datapathOptions = ({
  nativeDirectory,
  settings,
  metrics,
}: StorageParts): DatapathOptions => ({
  directory: nativeDirectory,
  arenaSize: settings.arenaSize,
  computeThreads: settings.threads,
  deviceThreads: Math.max(deviceThreadsMin, allDevicePaths(settings).length),
  timed: (part, seconds, profile) => {
    if (profile?.kind === "ec") {
      const strategy = `${profile.data}+${profile.parity}`;
      metrics.observe("kiseki_chunk_ec_encode_seconds", seconds, { strategy });
    } else {
      const name = "kiseki_chunk_persistent_write_phase_duration_seconds";
      metrics.observe(name, seconds, { phase: part });
    }
  },
});

async function openOrMakeClusterKey(
  { onRecoveryCode }: StorageParts,
  keyParts: Parameters<typeof openClusterKey>[0],
  places: Parameters<typeof openClusterKey>[1],
): Promise<{ readonly clusterId: Uint8Array; readonly clusterKey: Uint8Array }> {
  if (await hasClusterKey(keyParts, places)) return openClusterKey(keyParts, places);
  const made = await createClusterKey(keyParts, places);
  onRecoveryCode(made.recoveryCode);
  return made;
}

function openMemberSet(
  { settings, log, onFatal }: StorageParts,
  config: ConfigDirectory,
  directories: readonly string[],
): MemberSet {
  return openMembers({
    directories,
    versionNote: config.memberListNote,
    silentMax: memberSilentMax,
    acceptLoss: settings.acceptLoss,
    onLost: ({ reason, left }) => {
      log.error(
        { reason, left },
        "a mirror was lost; its directory is copied anew at the next start",
      );
      if (left === 0) onFatal(new Error("Cannot go on: no member of the data directory is left"));
    },
  });
}

/** Directories that hold an older copy of the key store, if any: what a shred could not overwrite. */
function awayMembers(members: MemberSet): readonly string[] {
  const away = members
    .status()
    .members.filter(({ state }) => state === "absent" || state === "lost");
  return away.map(({ directory }) => directory);
}

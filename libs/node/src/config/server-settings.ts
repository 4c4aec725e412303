import { GiB, KiB, MiB, TiB } from "@kiseki/base";
import {
  addressSetting,
  choiceSetting,
  integerSetting,
  listSetting,
  optionalAddressSetting,
  sizeSetting,
  switchSetting,
  textSetting,
} from "./setting.ts";

/** Every setting of `kiseki-server`. `docs/operations.md` has a row for each; tidy compares. */
export const serverSettings = {
  dataDir: textSetting("data-dir", undefined, {
    help: "folder of shard, catalog and key-store files",
  }),
  configDir: textSetting("config-dir", undefined, {
    help: "folder of the node secret and credentials; never inside the data directory",
  }),
  mirrors: listSetting("mirror", "", {
    variable: "KISEKI_MIRRORS",
    help: "further folders that hold every sealed file",
  }),
  devices: listSetting("devices", "", {
    variable: "KISEKI_RAW_DEVICES",
    help: "block devices or files that hold content",
  }),
  pools: textSetting("pools", "", {
    help: "further pools of devices: NAME=device,device;NAME=…",
  }),
  storageClasses: listSetting("storage-classes", "", {
    help: "storage classes and the pools they mean: STANDARD_IA=NAME,…; the devices of --devices are pool default",
  }),
  deviceSize: sizeSetting("device-size", "10GiB", [128 * MiB, 64 * TiB], {
    help: "size of a device file that has to be made",
  }),
  force: switchSetting("force", { help: "format devices that carry an old Kiseki superblock" }),
  allowSingleCopy: switchSetting("allow-single-copy", {
    help: "go on writing when only one device is left",
  }),
  acceptLoss: switchSetting("accept-loss", {
    help: "start from members older than the newest ever noted",
  }),
  s3Address: addressSetting("s3-addr", "127.0.0.1:9000", { help: "S3 listener" }),
  dataAddress: addressSetting("data-addr", "127.0.0.1:9100", { help: "RPC listener" }),
  bulkAddress: addressSetting("bulk-addr", "127.0.0.1:9102", {
    help: "listener for sealed content of native clients",
  }),
  advisoryAddress: addressSetting("advisory-addr", "127.0.0.1:9101", {
    help: "listener of the advisory service; where it cannot be, the node serves without",
  }),
  advertiseData: optionalAddressSetting("advertise-data-addr", {
    help: "where native clients reach the RPC listener, behind NAT or a proxy; as they asked when empty",
  }),
  advertiseBulk: optionalAddressSetting("advertise-bulk-addr", {
    help: "where native clients reach the listener for sealed content",
  }),
  advertiseS3: optionalAddressSetting("advertise-s3-addr", {
    help: "where discovery says that S3 is",
  }),
  bulkConnectionsMax: integerSetting("bulk-connections-max", "4096", [1, 100_000], {
    help: "open connections for sealed content",
  }),
  metricsAddress: addressSetting("metrics-addr", "127.0.0.1:9090", {
    help: "health, metrics and status page",
  }),
  metricsToken: textSetting("metrics-token-file", "", {
    variable: "KISEKI_METRICS_TOKEN_FILE",
    help: "file with the bearer token of the metrics listener; required beyond loopback",
  }),
  certificate: textSetting("cert-path", "", { help: "PEM certificate chain of the S3 listener" }),
  certificateKey: textSetting("key-path", "", { help: "PEM key of the S3 listener" }),
  clientAuthority: textSetting("ca-path", "", {
    help: "PEM authority that RPC and native clients beyond loopback must be signed by",
  }),
  allowPlaintext: switchSetting("allow-plaintext-s3", {
    help: "let the S3 and bulk listeners go beyond loopback without TLS",
  }),
  region: textSetting("s3-region", "", {
    help: "the one region that signatures may name; any when empty",
  }),
  domains: listSetting("s3-domains", "localhost", {
    help: "host names under which a bucket may stand as a sub-domain",
  }),
  objectOwnership: choiceSetting(
    "object-ownership",
    "BucketOwnerEnforced",
    ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"],
    { help: "of new buckets that ask for none; ACLs mean something in the last two" },
  ),
  trustedProxies: listSetting("trusted-proxies", "", {
    help: "networks of reverse proxies whose word on the client is taken, such as 10.0.0.0/8",
  }),
  proxyHeader: choiceSetting("proxy-header", "x-forwarded", ["x-forwarded", "forwarded"], {
    help: "how trusted proxies say it: X-Forwarded-For, -Proto, -Host, or Forwarded (RFC 7239)",
  }),
  oidcAllowLoopback: switchSetting("oidc-allow-loopback", {
    help: "ask identity providers on this machine, also without TLS",
  }),
  oidcAuthority: textSetting("oidc-ca-path", "", {
    help: "PEM authority of identity providers, trusted beside the system's",
  }),
  connectionsMax: integerSetting("s3-connections-max", "4096", [1, 100_000], {
    help: "open S3 connections",
  }),
  keyRequestsPerSecond: integerSetting("key-requests-per-s", "0", [0, 1_000_000], {
    help: "requests of one access key in a second; 0: no limit",
  }),
  keyBurst: integerSetting("key-burst", "0", [0, 1_000_000], {
    help: "requests of one access key at once after a pause; 0: as many as in a second",
  }),
  keyBytesPerSecond: sizeSetting("key-bytes-per-s", "0", [0, 64 * GiB], {
    help: "bytes of bodies, both ways, of one access key in a second; 0: no limit",
  }),
  keyRequestsAtOnce: integerSetting("key-requests-at-once", "0", [0, 100_000], {
    help: "requests of one access key under way, each on its connection; 0: no limit",
  }),
  notificationTargets: textSetting("notification-targets", "", {
    help: "JSON file of webhooks and NATS subjects that notifications may go to",
  }),
  notificationRetry: integerSetting("notification-retry-max-s", "60", [1, 3600], {
    help: "longest pause between tries to reach a target of notifications",
  }),
  bucketLoggingInterval: integerSetting("bucket-logging-interval-s", "300", [1, 86_400], {
    help: "how long a line of a bucket's access log waits before it is delivered",
  }),
  arenaSize: sizeSetting("arena-size", "96MiB", [32 * MiB, 64 * GiB], {
    help: "memory for content on its way",
  }),
  threads: integerSetting("datapath-threads", "2", [1, 256], {
    help: "threads that hash, seal, code, read and write",
  }),
  smallSizeMax: sizeSetting("inline-threshold", "4KiB", [128, 64 * KiB], {
    help: "objects up to this size are kept as copies instead of erasure-coded",
  }),
  collectSeconds: integerSetting("gc-interval-s", "5", [1, 3600], {
    help: "pause between rounds of garbage collection",
  }),
  lifecycleDaySeconds: integerSetting("lifecycle-day-seconds", "86400", [1, 86_400], {
    help: "how long a day of a lifecycle rule is; for tests only",
  }),
  lifecycleRate: integerSetting("lifecycle-rate", "5000", [1, 1_000_000], {
    help: "versions and uploads that lifecycle rules are held against in a second",
  }),
  websiteDomains: listSetting("website-domains", "", {
    help: "host names below which a bucket is shown as a website; none when empty",
  }),
  scrubHours: integerSetting("scrub-interval-h", "168", [24, 720], {
    help: "every record is verified once in this time",
  }),
  kekSeconds: integerSetting("kek-ttl-s", "60", [5, 300], {
    help: "how long a tenant's key may be used without asking its KMS",
  }),
  drainSeconds: integerSetting("drain-timeout-s", "30", [1, 600], {
    help: "how long a stop waits for requests in flight",
  }),
  allowCoreDumps: switchSetting("allow-core-dumps", {
    help: "let the system write a core of a crash: it holds names and plaintext",
  }),
  logLevel: choiceSetting("log-level", "info", ["debug", "info", "warn", "error"], {
    help: "what is logged",
  }),
} as const;

/** Variables of the specification (spec §12.2) that mean nothing on one node: accepted with a warning. */
export const ignoredVariables: ReadonlySet<string> = new Set([
  "KISEKI_ADVISORY_ADDR",
  "KISEKI_ADVISORY_STREAM_ADDR",
  "KISEKI_NFS_ADDR",
  "KISEKI_PORTMAP_ADDR",
  "KISEKI_RAFT_ADDR",
  "KISEKI_NODE_ID",
  "KISEKI_RAFT_PEERS",
  "KISEKI_FABRIC_PEERS",
  "KISEKI_BOOTSTRAP",
  "KISEKI_CRL_PATH",
  "KISEKI_META_SOFT_LIMIT_PCT",
  "KISEKI_META_HARD_LIMIT_PCT",
  "KISEKI_META_INLINE_FLOOR",
  "KISEKI_RAFT_INLINE_MBPS",
  "KISEKI_CHUNK_FLUSH_INTERVAL_MS",
  "KISEKI_GATEWAY_READ_RETRY_BUDGET_MS",
  "KISEKI_HYDRATOR_TRANSIENT_RETRIES",
  "KISEKI_COMPOSITION_CACHE_ENTRIES",
  "KISEKI_RAFT_THREADS",
  "KISEKI_TRANSPORT",
  "KISEKI_TRANSPORT_KEEPALIVE_MS",
  "KISEKI_IB_DEVICE",
  "KISEKI_LOG_FORMAT",
]);

/** Variables that other programs of the house read. */
export const foreignVariables: ReadonlySet<string> = new Set([
  "KISEKI_CACHE_DIR",
  "KISEKI_CONFIG",
  "KISEKI_ENDPOINT",
  "KISEKI_FAILPOINT",
  "KISEKI_NATIVE_DIR",
  "KISEKI_SIM_SEED",
  "KISEKI_FUZZ_SEED",
  "KISEKI_FUZZ_EVENTS",
  "KISEKI_TEST_FULL",
  "KISEKI_TOKEN_FILE",
]);

/** The storage node: reads its configuration, opens the node, serves, and shuts down in order. */
import "./bound-memory.ts"; // first: it starts the process anew
import { readFileSync } from "node:fs";
import { armFailpoints } from "@kiseki/base";
import { openCrypto, systemClock, systemPrng } from "@kiseki/host";
import {
  checkServerSettings,
  ConfigError,
  describeSettings,
  foreignVariables,
  ignoredVariables,
  openNode,
  parseSettings,
  type ServerSettings,
  serverSettings,
} from "@kiseki/node";
import { openLogger, openMetrics } from "@kiseki/telemetry";
import { listenMetrics } from "./listen-metrics.ts";
import { listenAdvisory } from "./listen-advisory.ts";
import { listenNative, type NativePorts } from "./listen-native.ts";
import { listenRpc, planTls } from "./listen-rpc.ts";
import { listenS3 } from "./listen-s3.ts";
import { nativeDirectory } from "./native-directory.ts";
import { tellRecoveryCode } from "./tell-recovery-code.ts";
import { version } from "./version.ts";

const exitCode = { ok: 0, failure: 1, arguments: 2 } as const;

function readConfig(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (reason) {
    const message = reason instanceof Error ? reason.message : String(reason);
    throw new ConfigError([`KISEKI_CONFIG cannot be read: ${message}`]);
  }
}

function readSettings(): ServerSettings {
  process.umask(0o077); // what this process makes is its own
  const words = process.argv.slice(2);
  if (words.includes("--help")) {
    console.log(`kiseki-server ${version}: a storage node\n\n${describeSettings(serverSettings)}`);
    process.exit(exitCode.ok);
  }
  if (words.includes("--version")) {
    console.log(version);
    process.exit(exitCode.ok);
  }
  const path = process.env["KISEKI_CONFIG"];
  const { settings, warnings } = parseSettings(
    serverSettings,
    {
      words,
      environment: process.env,
      file: path ? readConfig(path) : "",
      ignored: ignoredVariables,
      foreign: foreignVariables,
    },
    checkServerSettings,
  );
  for (const warning of warnings) console.error(`kiseki-server: ${warning}`);
  return settings;
}

/** For crash tests: `KISEKI_FAILPOINT=name:count` kills the process at that passing, as the native libraries do. */
function readFailpoint(): void {
  const [name, count = "1"] = (process.env["KISEKI_FAILPOINT"] ?? "").split(":");
  if (!name) return;
  let left = Number(count);
  armFailpoints((passed) => {
    if (passed === name && --left === 0) process.kill(process.pid, "SIGKILL");
  });
}

/** Resolves at the first SIGTERM or SIGINT. */
function stopAsked(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  return promise;
}

async function run(settings: ServerSettings): Promise<void> {
  const log = openLogger(settings.logLevel);
  const metrics = openMetrics();
  const onFatal = (reason: unknown): never => {
    // The outcome of a write is not known, or nothing can be written any more: only a new start is safe.
    log.error({ error: String(reason) }, "cannot go on");
    process.exit(exitCode.failure);
  };
  await using building = new AsyncDisposableStack();
  const crypto = openCrypto(nativeDirectory);
  if (!settings.allowCoreDumps && !crypto.forbidCoreDumps()) {
    log.warn({}, "core dumps cannot be switched off here");
  }
  const node = building.use(
    await openNode({
      clock: systemClock,
      prng: systemPrng,
      crypto,
      metrics,
      log,
      settings,
      nativeDirectory,
      onRecoveryCode: (code) => tellRecoveryCode(code, settings.configDir, log),
      onFatal,
    }),
  );
  const drain = AbortSignal.timeout.bind(AbortSignal, settings.drainSeconds * 1000);
  const s3 = building.adopt(await listenS3(node, settings, metrics, log), (front) =>
    front.stop(drain()),
  );
  const status = building.use(await listenMetrics(node, settings, metrics));
  const open: NativePorts = {
    s3: s3.port,
    rpc: settings.dataAddress.port,
    bulk: settings.bulkAddress.port,
    advisory: undefined,
  };
  const native = building.use(await listenNative(node, settings, open, log));
  const tls = await planTls(node, settings);
  const rpc = building.use(
    await listenRpc(node, crypto, settings, s3.port, log, native.backend, tls),
  );
  open.rpc = rpc.port ?? open.rpc;
  const advisory = building.use(await listenAdvisory(node, settings, tls, log));
  open.advisory = advisory?.port;
  const ports = {
    s3_port: s3.port,
    metrics_port: status.port,
    rpc_port: rpc.port,
    bulk_port: open.bulk,
    advisory_port: open.advisory,
  };
  const stopping = stopAsked(); // whoever is told that it is ready may stop it at once
  console.log(JSON.stringify({ ready: true, ...ports }));
  log.info({ epoch: String(node.epoch) }, "ready");
  log.info({ signal: await stopping }, "stopping");
}

try {
  readFailpoint();
  await run(readSettings());
  process.exit(exitCode.ok);
} catch (reason) {
  console.error(reason instanceof Error ? `kiseki-server: ${reason.message}` : reason);
  if (process.env["KISEKI_LOG_LEVEL"] === "debug") console.error(reason);
  process.exit(reason instanceof ConfigError ? exitCode.arguments : exitCode.failure);
}

import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { checkSpace } from "../../libs/node/src/admin/check-space.ts";
import { parseAddress } from "../../libs/node/src/config/setting.ts";
import type { Plan } from "./plan.ts";
import type { Running } from "./process.ts";

/** What `--json` prints. */
export interface NodeFacts {
  readonly s3_endpoint: string;
  readonly access_key: string;
  readonly secret_key: string;
  readonly region: string;
  readonly rpc_endpoint: string;
  readonly metrics_endpoint: string;
  readonly data_dir: string;
  readonly pid: number;
}

const rpcPortDefault = 9100;

/** Where a listener is reached from this machine. */
function endpointOf(scheme: string, variable: string | undefined, port: number): string {
  const host = parseAddress(variable ?? "")?.host ?? "127.0.0.1";
  const reached = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  return `${scheme}://${reached.includes(":") ? `[${reached}]` : reached}:${port}`;
}

/**
 * What clients are told to sign for when any region will do. A name of our own: for us-east-1 boto3 and aws-cli presign
 * by the retired version 2, which the node refuses.
 */
const regionShown = "kiseki";

/** Facts of a running node; the keys come from its config directory. */
export async function describeNode(plan: Plan, running: Running): Promise<NodeFacts> {
  const text = await readFile(join(plan.configDir, "credentials.json"), "utf8");
  const keys = JSON.parse(text) as { access_key: string; secret_key: string };
  const { env } = process;
  const s3Scheme = env["KISEKI_CERT_PATH"] ? "https" : "http";
  return {
    s3_endpoint: endpointOf(s3Scheme, env["KISEKI_S3_ADDR"], running.s3Port),
    access_key: keys.access_key,
    secret_key: keys.secret_key,
    region: env["KISEKI_S3_REGION"] || regionShown,
    rpc_endpoint: endpointOf("https", env["KISEKI_DATA_ADDR"], running.rpcPort ?? rpcPortDefault),
    metrics_endpoint: endpointOf("http", env["KISEKI_METRICS_ADDR"], running.metricsPort),
    data_dir: plan.dataDir,
    pid: running.pid,
  };
}

/** Quoted for a shell where it must be. */
const quote = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** Where aws-cli is to be had on a machine that has none on its path. */
function withoutAws(): string[] {
  if (Bun.which("aws") !== null) return [];
  const cache =
    process.env["KISEKI_CACHE_DIR"] ||
    join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "kiseki");
  const [own] = new Bun.Glob("python-clients-*/bin/aws").scanSync({ cwd: cache, onlyFiles: false });
  return own === undefined
    ? ["", "There is no aws here: apt-get install awscli, or scripts/setup --tests, brings one."]
    : ["", `aws is here: export PATH=${quote(join(cache, own, ".."))}:$PATH`];
}

/** Says of each folder of the node's files that has too little room for writes, and what to do. */
export async function findScarce({ dataDir, mirrors }: Plan): Promise<string[]> {
  const found = await checkSpace([dataDir, ...mirrors]);
  return found
    .filter(({ taken }) => taken !== "all")
    .map(({ detail }) => `Writes are refused: ${detail}. Free space there, or give --data-dir.`);
}

/** For a person: where, with which keys, and what to try. Secrets at the first call only. */
export function explain(
  plan: Plan,
  facts: NodeFacts,
  {
    isFirst,
    recoveryCode,
    scarce,
  }: {
    readonly isFirst: boolean;
    readonly recoveryCode: string | undefined;
    /** Folders with too little room for writes, as `findScarce` says it. */
    readonly scarce: readonly string[];
  },
): string {
  const file = quote(join(plan.configDir, "credentials.json"));
  const secret = isFirst ? facts.secret_key : `in ${file}`;
  const lines = [
    "",
    `S3 endpoint     ${facts.s3_endpoint}   region ${facts.region}`,
    `Access key      ${facts.access_key}`,
    `Secret key      ${secret}`,
    `Administration  ${facts.rpc_endpoint}`,
    `Status page     ${facts.metrics_endpoint}/`,
    `Data            ${plan.dataDir}${plan.mirrors.map((path) => `, mirror ${path}`).join("")}`,
    `Process         ${facts.pid}, log ${join(plan.configDir, "up/server.log")}`,
  ];
  if (recoveryCode !== undefined) {
    lines.push(
      "",
      `Recovery code   ${recoveryCode}`,
      `Write it down: it is kept nowhere and opens your data when ${plan.configDir} is lost.`,
    );
  }
  if (plan.mirrors.length === 0) {
    lines.push("", `No mirror: if the disk of ${plan.dataDir} is lost, so is everything.`);
  }
  for (const line of scarce) lines.push("", line);
  const read = (name: string) => `$(sed 's/.*"${name}":"\\([^"]*\\)".*/\\1/' ${file})`;
  lines.push(
    "",
    "Try:",
    `  export AWS_ENDPOINT_URL=${facts.s3_endpoint} AWS_DEFAULT_REGION=${facts.region} \\`,
    `    AWS_ACCESS_KEY_ID=${facts.access_key} AWS_SECRET_ACCESS_KEY="${read("secret_key")}"`,
    "  aws s3 mb s3://first",
    "  aws s3 cp README.md s3://first/",
    "  aws s3 ls s3://first",
    ...withoutAws(),
  );
  return lines.join("\n");
}

/** `kiseki import minio`: users, policies and settings from MinIO's export files, objects over S3. */
import { readFile } from "node:fs/promises";
import { CommandError, type ExitCode, exitCode, formatSize } from "@kiseki/cli";
import { formatTable } from "../format.ts";
import { countOption, type Session, textOption, type Work } from "../session.ts";
import { type BucketCopy, copyBucket, countBucket, type Totals } from "./copy-bucket.ts";
import { messageOf, parseObject, readExport, textOf } from "./export-files.ts";
import { importIdentities } from "./import-identities.ts";
import { planBuckets, type PlannedBucket, type PlannedSetting } from "./plan-buckets.ts";
import { planIdentities } from "./plan-identities.ts";
import type { NotCarried } from "./report.ts";
import { codeOf, type Credentials, Side, sideError } from "./s3.ts";
import { ImportState } from "./state.ts";

interface Import {
  readonly session: Session;
  readonly isDry: boolean;
  readonly notCarried: NotCarried[];
  /** Undefined in a dry run. */
  readonly to: Side | undefined;
  readonly from: Side | undefined;
  readonly state: ImportState;
}

const isSet = (session: Session, name: string): boolean => session.options[name] === true;

/** Exit code 1 when anything stays behind. */
export const importMinio: Work = async (session) => {
  try {
    return await carry(session);
  } catch (reason) {
    session.signal.throwIfAborted();
    throw sideError(reason);
  }
};

async function carry(session: Session): Promise<ExitCode> {
  const source = textOption(session, "from");
  const iam = textOption(session, "iam");
  const metadata = textOption(session, "bucketMetadata");
  if (source === undefined && iam === undefined && metadata === undefined) {
    throw new CommandError(
      exitCode.arguments,
      "Cannot import nothing: give --iam, --bucket-metadata, --from, or several of them",
    );
  }
  const identities =
    iam === undefined
      ? undefined
      : planIdentities(await readExport(iam), textOption(session, "rootUser"));
  const settings = metadata === undefined ? undefined : planBuckets(await readExport(metadata));
  const isDry = isSet(session, "dryRun");
  using from = source === undefined ? undefined : await openSource(session, source);
  using to = isDry || (!from && !settings) ? undefined : await openNode(session);
  const state = await ImportState.open(textOption(session, "state"), source ?? "");
  const notCarried = [...(identities?.notCarried ?? []), ...(settings?.notCarried ?? [])];
  const work: Import = { session, isDry, notCarried, to, from, state };
  if (identities !== undefined)
    notCarried.push(...(await importIdentities(session, identities, isDry)));
  const totals: Totals = { objects: 0, bytes: 0, found: 0 };
  for (const bucket of await bucketsOf(work, settings?.buckets ?? [])) {
    await importBucket(work, bucket, totals);
  }
  return finish(work, totals);
}

/** Those of the source and of the export, by name; `--bucket` narrows. */
async function bucketsOf(
  { session, from, notCarried }: Import,
  planned: readonly PlannedBucket[],
): Promise<readonly PlannedBucket[]> {
  const all = new Map(planned.map((bucket) => [bucket.name, bucket]));
  for (const name of from === undefined ? [] : await from.buckets()) {
    if (!all.has(name)) all.set(name, { name, isLockable: false, before: [], after: [], quota: 0 });
  }
  const given = session.options["bucket"];
  const wanted = Array.isArray(given) ? given.filter((name) => typeof name === "string") : [];
  for (const name of wanted) {
    if (all.has(name)) continue;
    notCarried.push({ kind: "bucket", name, reason: "it is not there" });
  }
  const isWanted = ({ name }: PlannedBucket): boolean =>
    wanted.length === 0 || wanted.includes(name);
  return [...all.values()].filter(isWanted).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function importBucket(work: Import, bucket: PlannedBucket, totals: Totals): Promise<void> {
  const { session, from, to, notCarried, state } = work;
  const { name } = bucket;
  const before = { ...totals };
  const versioning = from === undefined ? "never" : await from.versioning(name);
  const copy: BucketCopy = {
    bucket: name,
    isVersioned: versioning !== "never",
    parallel: Number(countOption(session, "parallel") ?? 4n),
    options: { isOverwriting: isSet(session, "overwrite"), isReadBack: isSet(session, "readBack") },
  };
  const isLockable = bucket.isLockable || (from !== undefined && (await from.isLockable(name)));
  if (to !== undefined && !(await makeBucket(to, name, isLockable, notCarried))) return;
  const missing = copy.isVersioned && bucket.before.length === 0 ? [keepVersions] : [];
  await putSettings(work, name, [...bucket.before, ...missing]);
  if (from !== undefined) {
    const { after } = state.bucket(name);
    using progress = session.console.progress(`Counting ${name}`);
    progress.update(0, 0);
    const whole = await countBucket(from, copy, after);
    const onStep = (): void => {
      const done = totals.objects - before.objects;
      progress.update(done, whole.objects, `Copying ${name} (${formatSize(BigInt(whole.bytes))})`);
    };
    if (to === undefined) add(totals, whole);
    else await copyBucket({ from, to }, copy, state, { totals, notCarried, onStep });
  }
  await putSettings(work, name, bucket.after);
  if (
    versioning === "Suspended" &&
    bucket.after.every((setting) => setting.name !== "versioning")
  ) {
    await putSettings(work, name, [suspendVersions]);
  }
  await setQuota(work, bucket);
  const objects = totals.objects - before.objects;
  const bytes = totals.bytes - before.bytes;
  const found = totals.found - before.found;
  session.console.emit({ kind: "bucket", name, objects, bytes, found, isDry: work.isDry });
  session.console.say(
    `${work.isDry ? "Would carry" : "Carried"} bucket ${name}: ${objects} objects, ${formatSize(BigInt(bytes))}${found > 0 ? `, ${found} of them there already` : ""}`,
  );
}

const versioningBody = (status: string): string =>
  `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>${status}</Status></VersioningConfiguration>`;
const keepVersions: PlannedSetting = { name: "versioning", body: versioningBody("Enabled") };
const suspendVersions: PlannedSetting = { name: "versioning", body: versioningBody("Suspended") };

function add(totals: Totals, more: Totals): void {
  totals.objects += more.objects;
  totals.bytes += more.bytes;
}

/** Whether the bucket is there now, as it has to be. */
async function makeBucket(
  to: Side,
  name: string,
  isLockable: boolean,
  notCarried: NotCarried[],
): Promise<boolean> {
  try {
    if (!(await to.hasBucket(name))) await to.createBucket(name, isLockable);
    if (!isLockable || (await to.isLockable(name))) return true;
    const reason = "it has object lock, and a bucket of this name without is there";
    notCarried.push({ kind: "bucket", name, reason });
  } catch (reason) {
    notCarried.push({ kind: "bucket", name, reason: messageOf(reason) });
  }
  return false;
}

/** A setting that the node refuses is noted, and the rest goes on. */
async function putSettings(
  { to, session, notCarried }: Import,
  bucket: string,
  settings: readonly PlannedSetting[],
): Promise<void> {
  for (const { name, body } of settings) {
    try {
      await to?.putSetting(bucket, name, body);
    } catch (reason) {
      session.signal.throwIfAborted();
      const why = `${codeOf(reason)}: ${messageOf(reason)}`.replace(/^: /, "");
      notCarried.push({ kind: "bucket setting", name: `${bucket}/${name}`, reason: why });
    }
  }
}

async function setQuota({ session, isDry, notCarried }: Import, bucket: PlannedBucket) {
  if (bucket.quota === 0 || isDry) return;
  try {
    const client = await session.client();
    const request = { bucket: bucket.name, bytesMax: BigInt(bucket.quota) };
    await client.setQuota(request, { signal: session.signal, timeoutMs: 30_000 });
  } catch (reason) {
    session.signal.throwIfAborted();
    notCarried.push({
      kind: "bucket setting",
      name: `${bucket.name}/quota`,
      reason: messageOf(reason),
    });
  }
}

/** The lines that count last: what stays behind, by name, and the sums. */
function finish({ session, isDry, notCarried }: Import, totals: Totals) {
  const { console } = session;
  for (const { kind, name, reason } of notCarried) {
    console.emit({ kind: "not_carried", what: kind, name, reason });
  }
  if (notCarried.length > 0) {
    console.say(`\nNot carried:`);
    const rows = notCarried.map(({ kind, name, reason }) => [kind, name, reason]);
    console.say(formatTable(["WHAT", "NAME", "WHY"], rows));
  }
  const { objects, bytes, found } = totals;
  console.emit({ kind: "total", objects, bytes, found, notCarried: notCarried.length, isDry });
  const verb = isDry ? "would be carried" : "carried and checked";
  console.say(
    `${objects} objects (${formatSize(BigInt(bytes))}) ${verb}; ${notCarried.length} things stay behind`,
  );
  return notCarried.length > 0 ? exitCode.general : exitCode.ok;
}

async function openSource(session: Session, endpoint: string): Promise<Side> {
  const path = textOption(session, "fromCredentials");
  if (path === undefined) {
    throw new CommandError(
      exitCode.arguments,
      "Give MinIO's keys with --from-credentials",
      'A JSON file of mode 0600: {"access_key": "…", "secret_key": "…"}',
    );
  }
  return new Side(endpoint, await readCredentials(path), session.signal);
}

async function readCredentials(path: string): Promise<Credentials> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (reason) {
    throw new CommandError(exitCode.arguments, `Cannot use ${path}: ${messageOf(reason)}`);
  }
  const file = parseObject(text);
  const accessKey = textOf(file?.["access_key"]);
  const secretKey = textOf(file?.["secret_key"]);
  if (accessKey === "" || secretKey === "") {
    const message = `Cannot use ${path}: it is no JSON with access_key and secret_key`;
    throw new CommandError(exitCode.arguments, message);
  }
  return { accessKey, secretKey };
}

/** The node's S3 side: its endpoint and, unless named, the keys that its first start made. */
async function openNode(session: Session): Promise<Side> {
  const client = await session.client();
  const { s3Endpoint } = await client.getStatus({}, { signal: session.signal });
  const path = textOption(session, "toCredentials") ?? usualCredentials(session);
  return new Side(
    textOption(session, "to") ?? s3Endpoint,
    await readCredentials(path),
    session.signal,
  );
}

function usualCredentials(session: Session): string {
  const folder = textOption(session, "configDir") ?? process.env["KISEKI_CONFIG_DIR"];
  if (folder !== undefined && folder !== "") return `${folder}/credentials.json`;
  throw new CommandError(
    exitCode.arguments,
    "Give the node's keys with --to-credentials, or its config directory with --config-dir",
  );
}

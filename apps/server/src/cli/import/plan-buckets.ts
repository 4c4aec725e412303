/** What becomes of the settings of MinIO's buckets. Pure. */
import { type ExportFiles, parseObject } from "./export-files.ts";
import type { NotCarried } from "./report.ts";

/** A subresource of a bucket that is put as it was exported. */
export type SettingName =
  | "cors"
  | "encryption"
  | "lifecycle"
  | "notification"
  | "object-lock"
  | "policy"
  | "tagging"
  | "versioning";
export interface PlannedSetting {
  readonly name: SettingName;
  /** XML, or JSON for the policy. */
  readonly body: string;
}
export interface PlannedBucket {
  readonly name: string;
  /** Object lock can be had by a new bucket alone. */
  readonly isLockable: boolean;
  /** Before any object is copied. */
  readonly before: readonly PlannedSetting[];
  /** After: a rule or default put earlier would act on the copies. */
  readonly after: readonly PlannedSetting[];
  /** Bytes; 0: none. */
  readonly quota: number;
}
export interface BucketPlan {
  readonly buckets: readonly PlannedBucket[];
  readonly notCarried: readonly NotCarried[];
}

const settingFiles: Readonly<Record<string, SettingName>> = {
  "bucket-encryption.xml": "encryption",
  "cors.xml": "cors",
  "lifecycle.xml": "lifecycle",
  "notification.xml": "notification",
  "object-lock.xml": "object-lock",
  "policy.json": "policy",
  "tagging.xml": "tagging",
  "versioning.xml": "versioning",
};
/** Elements without a counterpart in S3; a rule with one of them would not mean the same without it. */
const ownElements = ["DelMarkerExpiration", "AllVersionsExpiration", "ExpiredObjectAllVersions"];
/** Of MinIO's own book-keeping. */
const bookKeeping = /<ExpiryUpdatedAt>[^<]*<\/ExpiryUpdatedAt>/g;

const isEmptyDocument = (body: string): boolean => /^<\w+[^>]*>\s*<\/\w+>\s*$/.test(body.trim());

/** Of all buckets in an export, in the order of their names. */
export function planBuckets(files: ExportFiles): BucketPlan {
  const notCarried: NotCarried[] = [];
  const names = new Set([...files.keys()].map((path) => path.split("/", 1)[0]!));
  const buckets = [...names].toSorted().map((name) => {
    const settings: PlannedSetting[] = [];
    let quota = 0;
    for (const [path, body] of files) {
      if (!path.startsWith(`${name}/`)) continue;
      const file = path.slice(name.length + 1);
      if (file === "quota.json") quota = readQuota(name, body, notCarried);
      else {
        const setting = readSetting(name, file, body, notCarried);
        if (setting !== undefined) settings.push(setting);
      }
    }
    return planBucket(name, settings, quota);
  });
  return { buckets, notCarried };
}

function planBucket(
  name: string,
  settings: readonly PlannedSetting[],
  quota: number,
): PlannedBucket {
  const isFirst = (setting: PlannedSetting): boolean => setting.name === "versioning";
  const isLockable = settings.some((setting) => setting.name === "object-lock");
  return {
    name,
    isLockable,
    // A bucket that was suspended gets its versions first.
    before: settings.filter(isFirst).map(({ name: kind }) => ({ name: kind, body: enabled })),
    after: settings.filter((setting) => !isFirst(setting) || !isEnabled(setting.body)),
    quota,
  };
}
const enabled =
  '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>';
const isEnabled = (body: string): boolean => body.includes("<Status>Enabled</Status>");

function readSetting(
  bucket: string,
  file: string,
  body: string,
  notCarried: NotCarried[],
): PlannedSetting | undefined {
  if (body.trim() === "" || isEmptyDocument(body)) return undefined;
  const leave = (reason: string): undefined => {
    notCarried.push({ kind: "bucket setting", name: `${bucket}/${file}`, reason });
    return undefined;
  };
  if (file === "bucket-targets.json" || file === "replication.xml") {
    return leave("buckets are not replicated");
  }
  const name = Object.hasOwn(settingFiles, file) ? settingFiles[file] : undefined;
  if (name === undefined) return leave("it is not known");
  const own = ownElements.find((element) => body.includes(`<${element}>`));
  if (own !== undefined) return leave(`S3 has no ${own}`);
  if (name === "versioning" && /<(ExcludedPrefixes|ExcludeFolders)>/.test(body)) {
    leave("S3 excludes nothing from versioning; the whole bucket keeps versions");
    return {
      name,
      body: isEnabled(body) ? enabled : body.replace(/<Exclude.*<\/Exclude\w+>/s, ""),
    };
  }
  const key = /<KMSMasterKeyID>([^<]*)<\/KMSMasterKeyID>/.exec(body)?.[1];
  if (name === "encryption" && key !== undefined) {
    leave(`key ${key} is of MinIO's key manager; the tenant's own key seals instead`);
    return { name, body: body.replace(/<KMSMasterKeyID>[^<]*<\/KMSMasterKeyID>/g, "") };
  }
  return { name, body: body.replace(bookKeeping, "") };
}

function readQuota(bucket: string, body: string, notCarried: NotCarried[]): number {
  const quota = parseObject(body);
  if (quota === undefined) {
    const reason = "it is not JSON";
    notCarried.push({ kind: "bucket setting", name: `${bucket}/quota.json`, reason });
    return 0;
  }
  for (const limit of ["rate", "requests"]) {
    if (typeof quota[limit] !== "number" || quota[limit] === 0) continue;
    const reason = "a bucket has no limit of rates; an access key has";
    notCarried.push({ kind: "bucket setting", name: `${bucket}/quota.json: ${limit}`, reason });
  }
  // The older name of the same is `quota`.
  const size = [quota["size"], quota["quota"]].find(
    (value): value is number => typeof value === "number" && value > 0,
  );
  return size ?? 0;
}

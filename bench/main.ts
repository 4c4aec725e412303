/**
 * `bun run bench s3 [--peer minio|versitygw|none] [--layout one|six] [--cases a,b] [--seconds N] [--rounds N] [--syncs] [--guarded] [--keep] [--plot]`
 * `bun run bench memory`, `bun run bench scale [--objects N] [--buckets N] [--rounds N] [--seconds N]`, `bun run bench fuse [--rounds N]`, `bun run bench staged [--rounds N]`,
 * `bun run bench staging [--objects N] [--gib N] [--rounds N] [--seconds N] [--folder DIR]` (10,000 small objects and 20 GiB of large ones by default),
 * `bun run bench epochs [--rounds N] [--keep] [--plot]` (epoch times by cache mode, and blocks of the cache against a C daemon),
 * `bun run bench blocks [--rounds N]` (the latter alone), `bun run bench mount [--rounds N] [--megabytes N] [--keep]`,
 * `bun run bench keys [--objects N] [--folder DIR] [--minutes N] [--fill]` (ten million objects by default; kept in DIR and gone on with by the next call),
 * `bun run bench report`: what the
 * parts measure is said in docs/benchmarks.md.
 */
import { parseArgs } from "node:util";
import { benchBlocks, benchEpochs } from "./fuse/epochs.ts";
import { benchFuse } from "./fuse/fuse.ts";
import { benchMount } from "./fuse/mounts.ts";
import { benchStaged } from "./fuse/staged.ts";
import { benchStaging } from "./fuse/staging.ts";
import { benchMemory } from "./memory.ts";
import { benchKeys } from "./keys.ts";
import { plot, writeReport } from "./report.ts";
import { benchS3, caseNames } from "./s3.ts";
import { benchScale } from "./scale.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peer: { type: "string", default: "minio" },
    layout: { type: "string", default: "six" },
    cases: { type: "string", default: "" },
    seconds: { type: "string", default: "6" },
    rounds: { type: "string", default: "3" },
    gib: { type: "string", default: "20" },
    objects: { type: "string" },
    folder: { type: "string" },
    minutes: { type: "string", default: "600" },
    buckets: { type: "string", default: "10000" },
    fill: { type: "boolean", default: false },
    megabytes: { type: "string", default: "4096" },
    syncs: { type: "boolean", default: false },
    guarded: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    plot: { type: "boolean", default: false },
  },
});

function choose<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found !== undefined) return found;
  console.error(`bench: --${name} is one of ${allowed.join(", ")}, not ${value}`);
  process.exit(2);
}

async function runS3(): Promise<void> {
  const peer = choose("peer", values.peer, ["minio", "versitygw", "none"]);
  const cases = values.cases.split(",").filter((name) => name !== "");
  for (const name of cases) choose("cases", name, caseNames);
  await benchS3({
    peer: peer === "none" ? undefined : peer,
    layout: choose("layout", values.layout, ["one", "six"]),
    cases,
    seconds: Number(values.seconds),
    rounds: Number(values.rounds),
    countsSyncs: values.syncs,
    isGuarded: values.guarded,
    keepsResult: values.keep,
  });
}

switch (positionals[0]) {
  case "s3":
    await runS3();
    break;
  case "memory":
    await benchMemory(values.keep);
    break;
  case "scale":
    await benchScale({
      objects: Number(values.objects ?? 1_000_000),
      buckets: Number(values.buckets),
      rounds: Number(values.rounds),
      seconds: Number(values.seconds),
      keepsResult: values.keep,
    });
    break;
  case "keys":
    await benchKeys({
      objects: Number(values.objects ?? 10_000_000),
      folder: values.folder,
      minutes: Number(values.minutes),
      fills: values.fill,
      keepsResult: values.keep,
    });
    break;
  case "fuse":
    await benchFuse(Number(values.rounds));
    break;
  case "staged":
    await benchStaged(Number(values.rounds));
    break;
  case "staging":
    await benchStaging({
      objects: Number(values.objects ?? 10_000),
      gib: Number(values.gib),
      rounds: Number(values.rounds),
      seconds: Number(values.seconds),
      folder: values.folder,
    });
    break;
  case "blocks":
    await benchBlocks(Number(values.rounds));
    break;
  case "epochs":
    await benchEpochs(Number(values.rounds), values.keep);
    break;
  case "mount":
    await benchMount(Number(values.rounds), Number(values.megabytes), values.keep);
    break;
  case "report":
    break;
  default:
    console.error(
      "bench: s3, memory, scale, keys, blocks, epochs, fuse, mount, staged, staging or report",
    );
    process.exit(2);
}
if (values.keep || positionals[0] === "report") await writeReport();
if (values.plot) await plot();

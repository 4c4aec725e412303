import { toUuid } from "@kiseki/base";
import type { StorageNode } from "@kiseki/node";
import type { Recent } from "./recent-rates.ts";

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};
const escape = (text: string): string => text.replace(/[&<>"]/g, (sign) => escapes[sign]!);

function formatSize(size: number): string {
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = size;
  let unit = 0;
  while (value >= 1024 && unit < names.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit === 0 ? 0 : 1)} ${names[unit]}`;
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<table><tr>${head.map((cell) => `<th>${escape(cell)}</th>`).join("")}</tr>${rows
    .map((row) => `<tr>${row.map((cell) => `<td>${escape(cell)}</td>`).join("")}</tr>`)
    .join("")}</table>`;

const milliseconds = (value: number | undefined): string =>
  value === undefined ? "" : Number.isFinite(value) ? `≤ ${value * 1000} ms` : "> 5 s";

/** Answers a second over the kept samples, as a line. */
function drawSeries(series: readonly number[]): string {
  if (series.length < 2) return "";
  const top = Math.max(1, ...series);
  const points = series
    .map((value, at) => `${(at / (series.length - 1)) * 600},${60 - (value / top) * 56}`)
    .join(" ");
  return `<svg viewBox="0 0 600 62" role="img" aria-label="Answers a second, at most ${top.toFixed(0)}">
<polyline points="${points}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>
<p class="note">Answers a second, the last ${series.length} samples; the highest is ${top.toFixed(top < 10 ? 1 : 0)}/s.</p>`;
}

function requestPart({ seconds, methods, written, read, failures, series }: Recent): string {
  if (seconds === 0) return "<p>The first figures come in a few seconds.</p>";
  const rows = methods.map(({ method, rate, p50, p99 }) => [
    method,
    `${rate.toFixed(rate < 10 ? 1 : 0)}/s`,
    milliseconds(p50),
    milliseconds(p99),
  ]);
  return `<p>Over the last ${seconds.toFixed(0)} s: ${formatSize(written)}/s stored, ${formatSize(read)}/s read, ${failures.toFixed(1)} failures a second.</p>
${table(["Method", "Rate", "p50", "p99"], rows)}${drawSeries(series)}`;
}

/** One page for a person: rates, latencies, capacity, devices. Names of objects and secrets never appear. */
export function renderStatusPage(node: StorageNode, recent: Recent): string {
  const status = node.ports.chunkStore.status();
  const pools = node.ports.chunkStore.pools();
  const devices = pools.flatMap(({ name, status: of }) =>
    (of?.devices ?? []).map((device) => [
      toUuid(device.id),
      name,
      device.state,
      `${formatSize(device.used)} of ${formatSize(device.size)}`,
      String(device.faults.io + device.faults.header + device.faults.crc),
      device.reason ?? "",
    ]),
  );
  const absent = pools.flatMap(({ name, reason }) => (reason ? [`${name} (${reason})`] : []));
  const members = node.storage.members
    .status()
    .members.map(({ directory, state }) => [directory, state]);
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Kiseki</title>
<meta http-equiv="refresh" content="5"><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dee4}
svg{width:100%;height:auto}.note{font-size:13px;opacity:.7;margin-top:0}
@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}}
</style></head><body><h1>Kiseki storage node</h1>
<p>Start ${node.epoch}, capacity ${escape(status.capacity)}, ${status.chunks} chunks, ${status.repairQueued} waiting for repair.</p>
<h2>Requests</h2>${requestPart(recent)}
<h2>Devices</h2>${table(["Device", "Pool", "State", "Used", "Faults", "Why"], devices)}${absent.map((pool) => `<p>Absent: pool ${escape(pool)}</p>`).join("")}
<h2>Mirrors</h2>${table(["Directory", "State"], members)}</body></html>`;
}

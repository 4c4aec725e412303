import { toUuid } from "@kiseki/base";
import type { StorageNode } from "@kiseki/node";

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

function requestRows(values: ReadonlyMap<string, number>): readonly (readonly string[])[] {
  const rows: string[][] = [];
  for (const method of ["GET", "HEAD", "PUT", "POST", "DELETE"]) {
    const name = "kiseki_gateway_request_duration_seconds";
    const count = values.get(`${name}_count{method=${method}}`) ?? 0;
    const sum = values.get(`${name}_sum{method=${method}}`) ?? 0;
    if (count > 0) rows.push([method, String(count), `${((sum / count) * 1000).toFixed(2)} ms`]);
  }
  return rows;
}

/** One page for a person: rates, capacity, devices. Names of objects and secrets never appear. */
export function renderStatusPage(node: StorageNode, values: ReadonlyMap<string, number>): string {
  const status = node.ports.chunkStore.status();
  const devices = status.devices.map((device) => [
    toUuid(device.id),
    device.state,
    `${formatSize(device.used)} of ${formatSize(device.size)}`,
    String(device.faults.io + device.faults.header + device.faults.crc),
    device.reason ?? "",
  ]);
  const members = node.storage.members
    .status()
    .members.map(({ directory, state }) => [directory, state]);
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Kiseki</title>
<meta http-equiv="refresh" content="5"><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dee4}
@media (prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#30363d}}
</style></head><body><h1>Kiseki storage node</h1>
<p>Start ${node.epoch}, capacity ${escape(status.capacity)}, ${status.chunks} chunks, ${status.repairQueued} waiting for repair.</p>
<h2>Requests</h2>${table(["Method", "Answered", "Mean time"], requestRows(values))}
<h2>Devices</h2>${table(["Device", "State", "Used", "Faults", "Why"], devices)}
<h2>Mirrors</h2>${table(["Directory", "State"], members)}</body></html>`;
}

import { fromUtf8 } from "@kiseki/base";
import { formatSize } from "@kiseki/cli";

/** `1.0 MiB of 10.0 GiB, 3 objects`: a limit only where there is one. */
export function formatQuota(quota: {
  readonly bytesMax?: bigint | undefined;
  readonly objectsMax?: bigint | undefined;
  readonly bytes: bigint;
  readonly objects: bigint;
}): string {
  const bytes = quota.bytesMax === undefined ? "" : ` of ${formatSize(quota.bytesMax)}`;
  const objects = quota.objectsMax === undefined ? "" : ` of ${quota.objectsMax}`;
  return `${formatSize(quota.bytes)}${bytes}, ${quota.objects}${objects} objects`;
}

/** `2026-11-20 11:57:07Z`. */
export function formatTime(unixMs: bigint): string {
  const text = new Date(Number(unixMs)).toISOString();
  return `${text.slice(0, 10)} ${text.slice(11, 19)}Z`;
}

/** `3 d 4 h`, the two largest units. */
export function formatDuration(ms: bigint): string {
  let left = ms / 1000n;
  const parts: string[] = [];
  for (const [name, size] of [
    ["d", 86_400n],
    ["h", 3600n],
    ["min", 60n],
    ["s", 1n],
  ] as const) {
    const count = left / size;
    left %= size;
    if (count > 0n && parts.length < 2) parts.push(`${count} ${name}`);
    else if (parts.length > 0) break;
  }
  return parts.length === 0 ? "0 s" : parts.join(" ");
}

/** Columns under upper-case heads, two spaces between; nothing but the heads when there is no row. */
export function formatTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const all = [heads, ...rows];
  const widths = heads.map((_, i) => Math.max(...all.map((row) => (row[i] ?? "").length)));
  return all
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A key as one line of a terminal: what is not a printable character of UTF-8 stands as `\xNN`. */
export function formatKey(key: Uint8Array): string {
  const text = fromUtf8(key);
  if (text !== undefined && !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\\]/u.test(text)) return text;
  let escaped = "";
  for (const byte of key) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
    escaped += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return escaped;
}

const toSnake = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** A message as plain JSON: names in snake_case, counts as numbers, bytes as base64. */
export function toPlain(value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (value instanceof Uint8Array) return value.toBase64();
  if (Array.isArray(value)) return value.map(toPlain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !name.startsWith("$"))
      .map(([name, item]) => [toSnake(name), toPlain(item)]),
  );
}

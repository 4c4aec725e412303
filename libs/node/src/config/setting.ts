/** How one setting is written, read and explained. All settings of a program are one table of these. */
export interface Setting<T> {
  /** The flag without its dashes, `data-dir`; the variable is `KISEKI_DATA_DIR` unless `variable` says else. */
  readonly flag: string;
  readonly variable: string;
  /** What is taken when nothing is said; `undefined`: the setting is required. */
  readonly fallback: string | undefined;
  /** What may be written, in words, for messages and `--help`. */
  readonly range: string;
  readonly help: string;
  /** True for `--flag` without a value. */
  readonly isSwitch: boolean;
  /** The value, or `undefined` when `text` is out of range. */
  readonly parse: (text: string) => T | undefined;
}

const units: Readonly<Record<string, number>> = {
  "": 1,
  k: 1024,
  m: 1024 ** 2,
  g: 1024 ** 3,
  t: 1024 ** 4,
};

/** `512`, `64KiB`, `64K`, `10g`: binary units only. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)\s*([kmgt]?)(?:ib|b)?$/i.exec(text.trim());
  if (!match) return undefined;
  const size = Number(match[1]) * units[match[2]!.toLowerCase()]!;
  return Number.isSafeInteger(size) ? size : undefined;
}

/** In the largest unit that divides it, as `parseSize` reads it: `128MiB`. */
export function showSize(size: number): string {
  const names = ["TiB", "GiB", "MiB", "KiB"];
  const at = names.findIndex((_, index) => size > 0 && size % 1024 ** (4 - index) === 0);
  return at === -1 ? String(size) : `${size / 1024 ** (4 - at)}${names[at]}`;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, `[v6]:port`; port 0 lets the system choose. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  return host === undefined || !(port <= 65_535) ? undefined : { host, port };
}

/** True when `host` names this machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

type Common = { readonly help: string; readonly variable?: string };
const row = <T>(
  flag: string,
  fallback: string | undefined,
  range: string,
  parse: (text: string) => T | undefined,
  { help, variable }: Common,
  isSwitch = false,
): Setting<T> => ({
  flag,
  variable: variable ?? `KISEKI_${flag.toUpperCase().replaceAll("-", "_")}`,
  fallback,
  range,
  help,
  isSwitch,
  parse,
});

export const textSetting = (flag: string, fallback: string | undefined, common: Common) =>
  row(flag, fallback, "text", (text) => text, common);
export const listSetting = (flag: string, fallback: string, common: Common) =>
  row(
    flag,
    fallback,
    "comma-separated list",
    (text) => (text === "" ? [] : text.split(",").map((item) => item.trim())),
    common,
  );
export const switchSetting = (flag: string, common: Common) =>
  row(
    flag,
    "false",
    "true or false",
    (text) => ({ true: true, "1": true, false: false, "0": false })[text.toLowerCase()],
    common,
    true,
  );
export const addressSetting = (flag: string, fallback: string, common: Common) =>
  row(flag, fallback, "host:port", parseAddress, common);
/** `""`: none. Where others are told to go, so port 0 is none. */
export const optionalAddressSetting = (flag: string, common: Common) =>
  row(
    flag,
    "",
    "host:port",
    (text): Address | "" | undefined => {
      const address = text === "" ? "" : parseAddress(text);
      return address === "" || address?.port !== 0 ? address : undefined;
    },
    common,
  );
export const integerSetting = (
  flag: string,
  fallback: string,
  [min, max]: readonly [number, number],
  common: Common,
) =>
  row(
    flag,
    fallback,
    `an integer from ${min} to ${max}`,
    (text) => {
      const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
    common,
  );
export const sizeSetting = (
  flag: string,
  fallback: string,
  [min, max]: readonly [number, number],
  common: Common,
) =>
  row(
    flag,
    fallback,
    `a size from ${showSize(min)} to ${showSize(max)}`,
    (text) => {
      const size = parseSize(text);
      return size !== undefined && size >= min && size <= max ? size : undefined;
    },
    common,
  );
export const choiceSetting = <const T extends string>(
  flag: string,
  fallback: NoInfer<T>,
  choices: readonly T[],
  common: Common,
) =>
  row(
    flag,
    fallback,
    choices.join(", "),
    (text) => choices.find((choice) => choice === text),
    common,
  );

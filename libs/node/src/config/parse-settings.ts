import { parseArgs } from "node:util";
import type { Setting } from "./setting.ts";

type Table = Readonly<Record<string, Setting<unknown>>>;
export type Settings<T extends Table> = {
  readonly [Name in keyof T]: T[Name] extends Setting<infer Value> ? Value : never;
};

/** Every fault of a configuration at once, one a line: name, what was given, what may be. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(
      `Cannot start with this configuration:\n${faults.map((fault) => `  ${fault}`).join("\n")}`,
    );
    this.faults = faults;
  }
}

export interface SettingSources {
  /** Words after the program's name. */
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Lines `NAME=value` of the configuration file; empty when there is none. */
  readonly file: string;
  readonly ignored: ReadonlySet<string>;
  readonly foreign: ReadonlySet<string>;
}

/** Looks at settings together; gets those that parsed and answers faults. */
export type SettingsCheck<T extends Table> = (settings: Partial<Settings<T>>) => readonly string[];

function parseFile(text: string, faults: string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const [index, line] of text.split("\n").entries()) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(trimmed);
    if (match) values.set(match[1]!, match[2]!.replace(/^"(.*)"$/, "$1"));
    else faults.push(`line ${index + 1} of the configuration file is not NAME=value`);
  }
  return values;
}

function parseFlags(table: Table, words: readonly string[], faults: string[]): Map<string, string> {
  const values = new Map<string, string>();
  const options = Object.fromEntries(
    Object.values(table).map(({ flag, isSwitch }) => [
      flag,
      { type: isSwitch ? ("boolean" as const) : ("string" as const) },
    ]),
  );
  // Not strict: it would stop at the first fault, and the flags after it would seem not to be there.
  const { tokens } = parseArgs({
    args: [...words],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind === "positional") faults.push(`${JSON.stringify(token.value)} is not a flag`);
    if (token.kind !== "option") continue;
    const { name, rawName, value, inlineValue } = token;
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    if (option === undefined || !rawName.startsWith("--")) {
      faults.push(`${rawName} is not a flag of this program; --help lists them`);
    } else if (option.type === "boolean") {
      if (value === undefined) values.set(name, "true");
      else faults.push(`${rawName} takes no value`);
    } else if (value === undefined || (!inlineValue && value.startsWith("--"))) {
      faults.push(`${rawName} needs a value`);
    } else values.set(name, value);
  }
  return values;
}

function unknownVariables(
  table: Table,
  names: Iterable<string>,
  { ignored, foreign }: SettingSources,
  report: { faults: string[]; warnings: string[] },
): void {
  const known = new Set(Object.values(table).map(({ variable }) => variable));
  for (const name of names) {
    if (!name.startsWith("KISEKI_") || known.has(name) || foreign.has(name)) continue;
    if (ignored.has(name)) report.warnings.push(`${name} means nothing on a single node; ignored`);
    else report.faults.push(`${name} is not a variable of this program`);
  }
}

/**
 * Reads a table of settings: flags win over the environment, the environment over the file.
 *
 * @throws {ConfigError} naming every fault, not the first.
 */
export function parseSettings<const T extends Table>(
  table: T,
  sources: SettingSources,
  check: SettingsCheck<T> = () => [],
): { readonly settings: Settings<T>; readonly warnings: readonly string[] } {
  const report = { faults: [] as string[], warnings: [] as string[] };
  const file = parseFile(sources.file, report.faults);
  const flags = parseFlags(table, sources.words, report.faults);
  unknownVariables(table, [...Object.keys(sources.environment), ...file.keys()], sources, report);
  const settings: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(table)) {
    const { flag, variable, fallback, range, parse } = setting;
    const text = flags.get(flag) ?? sources.environment[variable] ?? file.get(variable) ?? fallback;
    if (text === undefined) {
      report.faults.push(`--${flag} (${variable}) is required: ${setting.help}`);
      continue;
    }
    const value = parse(text);
    if (value !== undefined) settings[name] = value;
    else {
      report.faults.push(
        `--${flag} (${variable}) cannot be ${JSON.stringify(text)}: it takes ${range}`,
      );
    }
  }
  report.faults.push(...check(settings as Partial<Settings<T>>));
  if (report.faults.length > 0) throw new ConfigError(report.faults);
  return { settings: Object.freeze(settings) as Settings<T>, warnings: report.warnings };
}

/** Help text: one line a setting. */
export function describeSettings(table: Table): string {
  return Object.values(table)
    .map(({ flag, variable, fallback, help, isSwitch }) => {
      const left = `  --${flag}${isSwitch ? "" : " …"}`;
      const given =
        fallback === undefined ? "required" : fallback === "" ? "" : `default ${fallback}`;
      return `${left.padEnd(28)} ${help}${given && !isSwitch ? ` (${given})` : ""}  [${variable}]`;
    })
    .join("\n");
}

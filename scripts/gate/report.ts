/** What one runner says it did. Tests are named `file › name`. */
export interface Report {
  readonly passed: number;
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

/** One line of `tests/skips.json`. */
export interface Expected {
  /** `file › name`, as the gate prints it. */
  readonly test: string;
  readonly reason: string;
  /** The skip is expected only on a machine that lacks this; always when left out. */
  readonly unless?: string;
}

const entities: Readonly<Record<string, string>> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&apos;": "'",
};
const unescape = (text: string): string =>
  text.replace(/&(amp|lt|gt|quot|apos);/g, (entity) => entities[entity]!);

/** Counts the test cases of a JUnit file as Bun writes it; nothing is counted of a file that is not there. */
export function readJunit(text: string): Report {
  let passed = 0;
  const failed: string[] = [];
  const skipped: string[] = [];
  const cases = /<testcase ([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g;
  for (const [, attributes = "", body = ""] of text.matchAll(cases)) {
    const read = (name: string): string =>
      unescape(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
    const group = read("classname");
    const name = `${read("file")} › ${group ? `${group} › ` : ""}${read("name")}`;
    if (body.includes("<failure") || body.includes("<error")) failed.push(name);
    else if (body.includes("<skipped")) skipped.push(name);
    else passed += 1;
  }
  return { passed, failed, skipped };
}

/** Where the skips of a run and the committed list differ, in either direction. */
export function skipFaults(
  skipped: readonly string[],
  expected: readonly Expected[],
  machine: Readonly<Record<string, boolean>>,
): string[] {
  const wanted = new Set(
    expected
      .filter(({ unless }) => unless === undefined || machine[unless] !== true)
      .map(({ test }) => test),
  );
  return [
    ...skipped
      .filter((name) => !wanted.has(name))
      .map((name) => `skipped, but not in tests/skips.json: ${name}`),
    ...[...wanted]
      .filter((name) => !skipped.includes(name))
      .map((name) => `in tests/skips.json, but not skipped: ${name}`),
    ...expected
      .filter(({ reason }) => reason.length < 10)
      .map(({ test }) => `no reason in tests/skips.json: ${test}`),
  ];
}

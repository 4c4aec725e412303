/**
 * The tables of `docs/operations.md` that follow from code: settings, variables that are taken and mean nothing,
 * metrics. Each stands between `<!-- name -->` and `<!-- end -->`; `bun run gen` writes them anew.
 */
import { metricTable } from "../../libs/ports/src/metric-table.ts";
import { ignoredVariables, serverSettings } from "../../libs/node/src/config/server-settings.ts";

const row = (...cells: string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
const table = (head: readonly string[], rows: readonly string[]): string =>
  [row(...head), row(...head.map(() => "---")), ...rows].join("\n");

function showFallback(fallback: string | undefined): string {
  if (fallback === undefined) return "required";
  return fallback === "" ? "none" : `\`${fallback}\``;
}

const tables: Readonly<Record<string, () => string>> = {
  settings: () =>
    table(
      ["flag", "variable", "default", "takes", "meaning"],
      Object.values(serverSettings).map(({ flag, variable, fallback, range, help }) =>
        row(`\`--${flag}\``, `\`${variable}\``, showFallback(fallback), range, help),
      ),
    ),
  ignored: () => [...ignoredVariables].map((name) => `\`${name}\``).join(", "),
  metrics: () =>
    table(
      ["metric", "kind", "labels", "meaning"],
      Object.entries(metricTable).map(([name, metric]) => {
        const labels: readonly string[] = "labels" in metric ? metric.labels : [];
        return row(
          `\`${name}\``,
          metric.kind,
          labels.map((label) => `\`${label}\``).join(", "),
          metric.help,
        );
      }),
    ),
};

/** `page` with every table written anew. */
export function renderTables(page: string): string {
  return page.replace(
    /<!-- (settings|ignored|metrics) -->[\s\S]*?<!-- end -->/g,
    (_match, name: string) => `<!-- ${name} -->\n\n${tables[name]!()}\n\n<!-- end -->`,
  );
}

if (import.meta.main) {
  const path = `${import.meta.dir}/../../docs/operations.md`;
  await Bun.write(path, renderTables(await Bun.file(path).text()));
}

import type { Command } from "commander";

export const shells = ["bash", "zsh", "fish"] as const;

/** Command paths with the words that may follow each; derived from the program itself. */
function wordsOf(program: Command): ReadonlyMap<string, readonly string[]> {
  const table = new Map<string, readonly string[]>();
  const globals = program.options.map(({ long }) => long ?? "");
  const visit = (command: Command, path: string): void => {
    const own = command.options.map(({ long }) => long ?? "");
    const names = command.commands.map((child) => child.name());
    const options = command === program ? own : [...own, ...globals];
    table.set(
      path,
      [...names, ...options, "--help"].filter((word) => word !== ""),
    );
    for (const child of command.commands) visit(child, `${path} ${child.name()}`.trim());
  };
  visit(program, "");
  table.set("completion", [...shells]);
  return table;
}

function bashScript(table: ReadonlyMap<string, readonly string[]>): string {
  const cases = [...table]
    .map(([path, words]) => `    "${path}") words="${words.join(" ")}" ;;`)
    .join("\n");
  return `# bash completion of kiseki: source it, or put it into /etc/bash_completion.d
_kiseki() {
  local current path words word
  current="\${COMP_WORDS[COMP_CWORD]}"
  path=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) case " \${_kiseki_paths} " in *" \${path:+$path/}$word "*) path="\${path:+$path/}$word" ;; esac ;; esac
  done
  case "\${path//\\// }" in
${cases}
    *) words="" ;;
  esac
  COMPREPLY=( $(compgen -W "$words" -- "$current") )
  if [ \${#COMPREPLY[@]} -eq 0 ]; then COMPREPLY=( $(compgen -f -- "$current") ); fi
}
_kiseki_paths="${[...table.keys()]
    .filter((path) => path !== "")
    .map((path) => path.replaceAll(" ", "/"))
    .join(" ")}"
complete -o filenames -F _kiseki kiseki
`;
}

function fishScript(program: Command): string {
  const lines = ["# fish completion of kiseki: put it into ~/.config/fish/completions/kiseki.fish"];
  const quote = (text: string): string =>
    `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const groups = program.commands.map((command) => command.name()).join(" ");
  for (const { long, description } of program.options) {
    lines.push(`complete -c kiseki -l ${(long ?? "").slice(2)} -d ${quote(description)}`);
  }
  for (const command of program.commands) {
    const name = command.name();
    lines.push(
      `complete -c kiseki -f -n 'not __fish_seen_subcommand_from ${groups}' -a ${name} -d ${quote(command.description())}`,
    );
    for (const { long, description } of command.options) {
      lines.push(
        `complete -c kiseki -n '__fish_seen_subcommand_from ${name}' -l ${(long ?? "").slice(2)} -d ${quote(description)}`,
      );
    }
    for (const child of command.commands) {
      lines.push(
        `complete -c kiseki -f -n '__fish_seen_subcommand_from ${name}' -a ${child.name()} -d ${quote(child.description())}`,
      );
      for (const { long, description } of child.options) {
        lines.push(
          `complete -c kiseki -n '__fish_seen_subcommand_from ${child.name()}' -l ${(long ?? "").slice(2)} -d ${quote(description)}`,
        );
      }
    }
  }
  lines.push(
    `complete -c kiseki -f -n '__fish_seen_subcommand_from completion' -a '${shells.join(" ")}'`,
  );
  return `${lines.join("\n")}\n`;
}

/** `undefined` for a shell that is not one of `shells`. */
export function completionScript(program: Command, shell: string): string | undefined {
  if (shell === "bash") return bashScript(wordsOf(program));
  if (shell === "zsh") {
    const head = "#compdef kiseki\nautoload -U +X bashcompinit && bashcompinit\n";
    return `${head}${bashScript(wordsOf(program))}`;
  }
  return shell === "fish" ? fishScript(program) : undefined;
}

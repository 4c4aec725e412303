import type { Command, Option } from "commander";

export const shells = ["bash", "zsh", "fish"] as const;

const shown = (command: Command): readonly Option[] =>
  command.options.filter(({ hidden }) => !hidden);

/** Command paths with the words that may follow each; derived from the program itself. */
function wordsOf(program: Command): ReadonlyMap<string, readonly string[]> {
  const table = new Map<string, readonly string[]>();
  const globals = program.options.map(({ long }) => long ?? "");
  const visit = (command: Command, path: string): void => {
    const own = shown(command).map(({ long }) => long ?? "");
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

function bashScript(name: string, table: ReadonlyMap<string, readonly string[]>): string {
  const own = `_${name.replaceAll("-", "_")}`;
  const cases = [...table]
    .map(([path, words]) => `    "${path}") words="${words.join(" ")}" ;;`)
    .join("\n");
  return `# bash completion of ${name}: source it, or put it into /etc/bash_completion.d
${own}() {
  local current path words word
  current="\${COMP_WORDS[COMP_CWORD]}"
  path=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) case " \${${own}_paths} " in *" \${path:+$path/}$word "*) path="\${path:+$path/}$word" ;; esac ;; esac
  done
  case "\${path//\\// }" in
${cases}
    *) words="" ;;
  esac
  COMPREPLY=( $(compgen -W "$words" -- "$current") )
  if [ \${#COMPREPLY[@]} -eq 0 ]; then COMPREPLY=( $(compgen -f -- "$current") ); fi
}
${own}_paths="${[...table.keys()]
    .filter((path) => path !== "")
    .map((path) => path.replaceAll(" ", "/"))
    .join(" ")}"
complete -o filenames -F ${own} ${name}
`;
}

function fishScript(program: Command): string {
  const name = program.name();
  const lines = [
    `# fish completion of ${name}: put it into ~/.config/fish/completions/${name}.fish`,
  ];
  const quote = (text: string): string =>
    `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const groups = program.commands.map((command) => command.name()).join(" ");
  for (const { long, description } of shown(program)) {
    lines.push(`complete -c ${name} -l ${(long ?? "").slice(2)} -d ${quote(description)}`);
  }
  for (const command of program.commands) {
    const word = command.name();
    lines.push(
      `complete -c ${name} -f -n 'not __fish_seen_subcommand_from ${groups}' -a ${word} -d ${quote(command.description())}`,
    );
    for (const { long, description } of shown(command)) {
      lines.push(
        `complete -c ${name} -n '__fish_seen_subcommand_from ${word}' -l ${(long ?? "").slice(2)} -d ${quote(description)}`,
      );
    }
    for (const child of command.commands) {
      lines.push(
        `complete -c ${name} -f -n '__fish_seen_subcommand_from ${word}' -a ${child.name()} -d ${quote(child.description())}`,
      );
      for (const { long, description } of shown(child)) {
        lines.push(
          `complete -c ${name} -n '__fish_seen_subcommand_from ${child.name()}' -l ${(long ?? "").slice(2)} -d ${quote(description)}`,
        );
      }
    }
  }
  lines.push(
    `complete -c ${name} -f -n '__fish_seen_subcommand_from completion' -a '${shells.join(" ")}'`,
  );
  return `${lines.join("\n")}\n`;
}

/** `undefined` for a shell that is not one of `shells`. */
export function completionScript(program: Command, shell: string): string | undefined {
  const name = program.name();
  if (shell === "bash") return bashScript(name, wordsOf(program));
  if (shell === "zsh") {
    const head = `#compdef ${name}\nautoload -U +X bashcompinit && bashcompinit\n`;
    return `${head}${bashScript(name, wordsOf(program))}`;
  }
  return shell === "fish" ? fishScript(program) : undefined;
}

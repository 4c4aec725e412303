import { expect, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toUtf8 } from "@kiseki/base";
import { RpcError } from "@kiseki/rpc";
import { completionScript, shells } from "@kiseki/cli";
import { adminSocketName, findTarget } from "./connection.ts";
import { explain } from "./console.ts";
import { CommandError, exitCode, formatSize } from "@kiseki/cli";
import { rpcFate } from "./fates.ts";
import { formatDuration, formatKey, formatTable, formatTime, toPlain } from "./format.ts";
import { buildProgram, runProgram } from "./program.ts";

test("formatSize() uses binary units, bytes below 1 KiB", () => {
  const cases = [
    [0n, "0 B"],
    [1023n, "1023 B"],
    [1024n, "1.0 KiB"],
    [1536n, "1.5 KiB"],
    [5n * 1024n ** 3n, "5.0 GiB"],
    [3n * 1024n ** 6n, "3072.0 PiB"],
  ] as const;
  for (const [size, text] of cases) expect(formatSize(size)).toBe(text);
});

test("formatDuration() shows the two largest units, formatTime() seconds of UTC", () => {
  const cases = [
    [0n, "0 s"],
    [59_999n, "59 s"],
    [61_000n, "1 min 1 s"],
    [3_600_000n, "1 h"],
    [3_605_000n, "1 h"],
    [90_061_000n, "1 d 1 h"],
  ] as const;
  for (const [ms, text] of cases) expect(formatDuration(ms)).toBe(text);
  expect(formatTime(1_795_175_827_760n)).toBe("2026-11-20 11:57:07Z");
});

test("formatTable() aligns columns and leaves no blanks at line ends", () => {
  expect(
    formatTable(
      ["A", "BBB"],
      [
        ["xx", "y"],
        ["z", ""],
      ],
    ),
  ).toBe("A   BBB\nxx  y\nz");
  expect(formatTable(["A", "B"], [])).toBe("A  B");
});

test("formatKey() lets no key write over the terminal", () => {
  expect(formatKey(toUtf8("plain/ünï"))).toBe("plain/ünï");
  expect(formatKey(toUtf8("a\u001b[31mb\n"))).toBe("a\\x1b[31mb\\x0a");
  expect(formatKey(new Uint8Array([0x61, 0xff, 0x5c]))).toBe("a\\xff\\x5c");
  expect(formatKey(toUtf8("a\u202eb"))).toBe("a\\xe2\\x80\\xaeb");
});

test("toPlain() writes snake_case, numbers, base64, and no $typeName", () => {
  const message = {
    $typeName: "kiseki.v1.X",
    objectCount: 5n,
    huge: 2n ** 60n,
    key: new Uint8Array([1, 2]),
    items: [{ isDone: true }],
  };
  expect(toPlain(message)).toEqual({
    object_count: 5,
    huge: "1152921504606846976",
    key: "AQI=",
    items: [{ is_done: true }],
  });
});

test("explain() gives each refusal its exit code of spec 8.8", () => {
  const codeOf = (reason: unknown) => explain(reason).exit;
  expect(codeOf(new RpcError("unreachable", "x"))).toBe(3);
  expect(codeOf(new RpcError("untrusted", "x"))).toBe(3);
  expect(codeOf(new RpcError("unauthenticated", "x"))).toBe(4);
  expect(codeOf(new RpcError("forbidden", "x"))).toBe(4);
  expect(codeOf(new RpcError("invalid", "x"))).toBe(2);
  expect(codeOf(new RpcError("not_found", "x"))).toBe(1);
  expect(codeOf(new CommandError(exitCode.arguments, "x"))).toBe(2);
  expect(codeOf(new TypeError("a bug"))).toBe(1);
  for (const { exit } of Object.values(rpcFate)) expect(exit).not.toBe(exitCode.ok as never);
});

test("findTarget(): flags win over the environment, files beside the socket are found", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-cli-"));
  await using _ = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const own = { kind: "local", path: join(folder, adminSocketName) } as const;
  const environment = { KISEKI_CONFIG_DIR: folder, HOME: folder };
  expect(await findTarget({}, environment)).toEqual(own);
  expect(await findTarget({ configDir: folder }, { KISEKI_ENDPOINT: "https://a:1" })).toEqual(own);
  expect(await findTarget({ socket: "/s" }, environment)).toEqual({ kind: "local", path: "/s" });
  await writeFile(join(folder, "rpc-token"), "abc\n");
  await writeFile(join(folder, "rpc-cert.pem"), "PEM");
  const remote = { ...environment, KISEKI_ENDPOINT: "https://a:1" };
  expect(await findTarget({}, remote)).toMatchObject({
    endpoint: "https://a:1",
    token: "abc",
    authority: "PEM",
  });
  await writeFile(join(folder, "other"), "def");
  const other = { ...remote, KISEKI_TOKEN_FILE: join(folder, "other") };
  expect(await findTarget({ endpoint: "https://b:2" }, other)).toMatchObject({
    endpoint: "https://b:2",
    token: "def",
  });
  const refused = [
    findTarget({ socket: "/s", endpoint: "https://a:1" }, {}),
    findTarget({ endpoint: "https://a:1", cert: "/c" }, environment),
    findTarget({ endpoint: "https://a:1", tokenFile: "/nothing/here" }, environment),
  ];
  for (const attempt of refused) await expect(attempt).rejects.toBeInstanceOf(CommandError);
  await expect(
    findTarget({}, { HOME: folder, XDG_CONFIG_HOME: join(folder, "none") }),
  ).rejects.toThrow("No node is running here");
  await chmod(folder, 0o700);
});

test("runProgram() answers 2 to words that it does not know and 0 to --help", async () => {
  const write = process.stderr.write;
  const show = process.stdout.write;
  process.stderr.write = process.stdout.write = () => true;
  try {
    for (const words of [["nonsense"], ["bucket", "create"], ["status", "--nonsense"], []]) {
      expect(await runProgram("1", words)).toBe(2);
    }
    for (const words of [["--help"], ["bucket", "--help"]])
      expect(await runProgram("1", words)).toBe(0);
  } finally {
    process.stderr.write = write;
    process.stdout.write = show;
  }
});

test("no option takes a passphrase, code or secret itself", () => {
  const flags: string[] = [];
  const visit = (command: ReturnType<typeof buildProgram>): void => {
    flags.push(...command.options.map(({ flags }) => flags));
    command.commands.forEach(visit);
  };
  visit(buildProgram("1", () => undefined));
  const secret = flags.filter((flag) => /passphrase|code|secret|token/.test(flag));
  expect(secret.length).toBeGreaterThan(2);
  for (const flag of secret) expect(flag).toContain("<path>");
});

test("completionScript() knows every command, for each shell", () => {
  const program = buildProgram("1", () => undefined);
  for (const shell of shells) {
    const script = completionScript(program, shell)!;
    for (const { name } of program.commands.map((command) => ({ name: command.name() }))) {
      expect(script).toContain(name);
    }
  }
  expect(completionScript(program, "tcsh")).toBeUndefined();
});

test("completionScript() for bash completes commands and options", async () => {
  const script = completionScript(
    buildProgram("1", () => undefined),
    "bash",
  );
  const complete = async (...words: readonly string[]): Promise<string[]> => {
    const quoted = words.map((word) => `'${word}'`).join(" ");
    const body = `${script}\nCOMP_WORDS=(kiseki ${quoted}); COMP_CWORD=${words.length}; _kiseki; echo "\${COMPREPLY[*]}"`;
    const child = Bun.spawn(["bash", "-c", body], { stdout: "pipe" });
    return (await new Response(child.stdout).text()).trim().split(" ");
  };
  expect(await complete("buc")).toEqual(["bucket"]);
  expect(await complete("access-key", "e")).toEqual(["enable"]);
  expect(await complete("--json", "device", "re")).toEqual(["replace", "remove"]);
  expect(await complete("encryption", "recover", "--code")).toEqual(["--code-file"]);
  expect(await complete("completion", "f")).toEqual(["fish"]);
});

test("runProgram() answers --version, and no advice names an option that is not there", async () => {
  const said: string[] = [];
  const show = process.stdout.write;
  process.stdout.write = (text: string | Uint8Array) => said.push(String(text)) > 0;
  try {
    expect(await runProgram("1.2.3", ["--version"])).toBe(0);
  } finally {
    process.stdout.write = show;
  }
  expect(said.join("")).toBe("1.2.3\n");
  const program = buildProgram("1", () => undefined);
  const known = new Set(program.options.map(({ long }) => long));
  const advised = Object.values(rpcFate).flatMap(({ advice }) => advice.match(/--[a-z-]+/g) ?? []);
  expect(advised.length).toBeGreaterThan(3);
  for (const option of advised) expect(known).toContain(option);
});

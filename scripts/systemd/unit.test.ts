import { expect, test } from "bun:test";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

const unitPath = join(import.meta.dir, "kiseki-server.service");
const hasSystemd = Bun.which("systemd-analyze") !== null;
/** `systemd-analyze security` in tenths: 10 is fully exposed to nothing, 100 wide open. */
const exposureMax = 20;

/** The unit with a program that is there: `verify` looks for it. */
async function place(): Promise<{ path: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "kiseki-unit-"));
  const program = join(folder, "kiseki-server");
  await Bun.write(program, "#!/bin/sh\n");
  await chmod(program, 0o755);
  const text = await Bun.file(unitPath).text();
  const path = join(folder, "kiseki-server.service");
  await Bun.write(path, text.replace(/^ExecStart=.*/m, `ExecStart=${program}`));
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

function analyze(...words: string[]): { code: number; output: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["systemd-analyze", ...words]);
  return { code: exitCode, output: `${stdout.toString()}${stderr.toString()}` };
}

/** What spec §12.4 asks of the unit; `StateDirectory` makes the data directory writable under `ProtectSystem`. */
const asked = [
  "NoNewPrivileges=yes",
  "ProtectSystem=strict",
  "PrivateTmp=yes",
  "LimitCORE=0",
  "LimitMEMLOCK=infinity",
  "LimitNOFILE=65536",
  "StateDirectory=kiseki kiseki-config",
  "Restart=on-failure",
] as const;

test("kiseki-server.service sets what the specification lists, and keeps data where it may write", async () => {
  const lines = (await Bun.file(unitPath).text()).split("\n");
  expect(asked.filter((line) => !lines.includes(line))).toEqual([]);
  const folders = lines.flatMap((line) => /^Environment=KISEKI_\w+_DIR=(.*)/.exec(line)?.[1] ?? []);
  expect(folders).toEqual(["/var/lib/kiseki", "/var/lib/kiseki-config"]);
});

test.skipIf(!hasSystemd)("kiseki-server.service is what systemd understands", async () => {
  await using unit = await place();
  const { code, output } = analyze("verify", unit.path);
  expect(output).not.toContain("kiseki-server.service:");
  expect(code).toBe(0);
});

test.skipIf(!hasSystemd)(
  "kiseki-server.service is hardened, but for the memory that the JIT writes",
  async () => {
    await using unit = await place();
    const threshold = `--threshold=${exposureMax}`;
    const { code, output } = analyze(
      "security",
      "--offline=true",
      "--no-pager",
      threshold,
      unit.path,
    );
    expect(output).toContain("Overall exposure level");
    expect(code).toBe(0);
    const text = await Bun.file(unitPath).text();
    expect(text).not.toMatch(/^MemoryDenyWriteExecute=/m);
  },
);

test.skipIf(!hasSystemd)("mnt-kiseki.mount is what systemd understands", async () => {
  const { code, output } = analyze("verify", join(import.meta.dir, "mnt-kiseki.mount"));
  expect(output).not.toContain("mnt-kiseki.mount:");
  expect(code).toBe(0);
});

test.skipIf(!hasSystemd)(
  "kiseki-cache-scrub.timer and its service are what systemd understands",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "kiseki-unit-"));
    const paths = ["kiseki-cache-scrub.service", "kiseki-cache-scrub.timer"].map((name) =>
      join(folder, name),
    );
    for (const path of paths) {
      const text = await Bun.file(join(import.meta.dir, basename(path))).text();
      await Bun.write(path, text.replace(/^ExecStart=.*/m, "ExecStart=/bin/true"));
    }
    const { code, output } = analyze("verify", ...paths);
    await rm(folder, { recursive: true });
    expect(output).not.toContain("kiseki-cache-scrub");
    expect(code).toBe(0);
  },
);

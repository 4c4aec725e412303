/** A mount in the kernel whose way to the node is bad. The proxies are here, so nothing here touches the mount itself. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { prngFromSeed } from "../../libs/base/src/index.ts";
import { FaultyProxy, type Weather } from "../../libs/client/src/faulty-proxy.test-helper.ts";
import { isFull, NodeProcess, plainEnvironment, until } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { hasFuse, KisekiMount } from "./kiseki-mount.ts";

setDefaultTimeout(isFull ? 300_000 : 20_000);
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const program = join(import.meta.dir, "faults.py");

let node: NodeProcess;
let seedAddress = "";
/** To RPC and to bulk frames; none where there is no FUSE. */
const proxies: FaultyProxy[] = [];
beforeAll(async () => {
  if (!hasFuse) return;
  const nowhere = { host: "127.0.0.1", port: 1 };
  const [rpc, bulk] = [await FaultyProxy.open(nowhere, 0), await FaultyProxy.open(nowhere, 0)];
  proxies.push(rpc, bulk);
  seedAddress = `127.0.0.1:${rpc.port}`;
  const words = [
    ...["--advertise-data-addr", seedAddress],
    ...["--advertise-bulk-addr", `127.0.0.1:${bulk.port}`],
  ];
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize: "256MiB" }, { words });
  rpc.target = { host: "127.0.0.1", port: node.rpcPort };
  bulk.target = { host: "127.0.0.1", port: node.bulkPort };
  using s3 = await S3Client.of(node);
  for (const bucket of ["work", "fail", "gone"]) await s3.createBucket(bucket);
}, 20_000);
afterAll(async () => {
  if (!hasFuse) return;
  await node[Symbol.asyncDispose]();
  for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
});

afterEach(clear);

const mounted = (namespace: string, options: string): Promise<KisekiMount> =>
  KisekiMount.start(node, { namespace, options, seed: seedAddress });
const start = (...words: string[]) =>
  Bun.spawn(["python3", program, ...words], {
    env: { ...plainEnvironment(), PYTHONDONTWRITEBYTECODE: "1" },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
function setWeather(weather: Weather): void {
  for (const proxy of proxies) proxy.weather = weather;
}
/** What was lost or swallowed never comes any more. */
function clear(): void {
  setWeather({ kind: "fair" });
  for (const proxy of proxies) proxy.cut();
}
/** What a child says, line after line. */
function linesOf(stream: ReadableStream<Uint8Array>) {
  const lines: string[] = [];
  const read = async (): Promise<void> => {
    let rest = "";
    for await (const bytes of stream) {
      const [last = "", ...whole] = (rest + Buffer.from(bytes)).split("\n").toReversed();
      lines.push(...whole.toReversed());
      rest = last;
    }
  };
  return { lines, end: read() };
}
const stateOf = (pid: number): string =>
  /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]!;

test.skipIf(!hasFuse)(
  `a mount goes on through delay, loss, resets and silence (KISEKI_SIM_SEED=${seed})`,
  async () => {
    await using mount = await mounted("work", "meta_ttl_ms=0");
    const prng = prngFromSeed(seed);
    const seconds = isFull ? 120 : 5;
    const child = start("work", mount.folder, `${seed}`, `${seconds}`);
    const said = linesOf(child.stdout);
    const errors = new Response(child.stderr).text();
    const end = performance.now() + seconds * 1000;
    const weathers: readonly Weather[] = [
      { kind: "slow", delayMs: 20 },
      { kind: "lossy", size: 7 },
      { kind: "reset" },
      { kind: "black_hole" },
    ];
    for (let turn = 0; performance.now() < end && child.exitCode === null; turn += 1) {
      setWeather(weathers[turn % weathers.length]!);
      await Bun.sleep(200 + prng.below(800));
      clear();
      // Of two operations one was begun in good weather: however slow the machine, none is kept from ending for good.
      const before = said.lines.length;
      await until("it goes on", () => said.lines.length > before + 1 || child.exitCode !== null);
    }
    expect([await child.exited, await errors]).toEqual([0, ""]);
    await said.end;
    expect(said.lines.length).toBeGreaterThan(1);
    const [, longest] = /^longest (.+)$/.exec(said.lines.at(-1)!)!;
    expect(Number(longest)).toBeLessThan(20);
  },
);

test.skipIf(!hasFuse)(
  "a mount answers EIO in bounded time while its node is silent, and is well once it is back",
  async () => {
    await using mount = await mounted("fail", "meta_ttl_ms=0,timeout_s=1");
    const child = start("fail", mount.folder);
    let said = "";
    const reading = (async () => {
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) said += text;
    })();
    await until("it has begun", () => said === "ready\n");
    setWeather({ kind: "black_hole" });
    void child.stdin.write("\n");
    void child.stdin.end();
    await child.exited;
    await reading;
    const [, ...lines] = said.trim().split("\n");
    const answers = lines.map((line) => line.split(" "));
    expect(answers.map(([name, code]) => `${name} ${code}`)).toEqual(
      ["write", "read", "stat", "list", "create", "rename", "mkdir"].map((name) => `${name} EIO`),
    );
    // With the usual patience the first alone would take 30 s; what a second of it comes to depends on the machine.
    const seconds = answers.map(([, , each]) => Number(each));
    expect(Math.max(...seconds)).toBeLessThan(25);
    clear();
    await until("it is well", async () => {
      const list = Bun.spawn(["ls", mount.folder], { stdout: "pipe", stderr: "ignore" });
      return (await new Response(list.stdout).text()) === "kept\n" && (await list.exited) === 0;
    });
  },
);

test.skipIf(!hasFuse)(
  "a mount whose node is silent lets its programs be killed, and itself",
  async () => {
    await using mount = await mounted("gone", "meta_ttl_ms=0");
    setWeather({ kind: "black_hole" });
    const waiting = Array.from({ length: 4 }, (_, index) =>
      Bun.spawn(
        index % 2 === 0
          ? ["ls", mount.folder]
          : ["dd", "if=/dev/zero", `of=${mount.path(`file-${index}`)}`, "bs=64k", "count=4"],
        { stdout: "ignore", stderr: "ignore" },
      ),
    );
    await Bun.sleep(500);
    expect(waiting.map(({ exitCode }) => exitCode)).toEqual([null, null, null, null]);
    expect(waiting.map(({ pid }) => stateOf(pid))).toEqual(["S", "S", "S", "S"]);
    if (isFull) {
      const killed = waiting.splice(0, 2);
      for (const child of killed) child.kill("SIGKILL");
      await Promise.all(killed.map(({ exited }) => exited));
    }
    await mount.end("SIGKILL");
    await Promise.all(waiting.map(({ exited }) => exited)); // "Transport endpoint is not connected"
    expect(waiting.every(({ exitCode }) => exitCode !== 0)).toBe(true);
    clear();
    await mount.start(node, { namespace: "gone", seed: seedAddress });
  },
);

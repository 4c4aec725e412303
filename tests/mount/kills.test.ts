/** Mounts in the kernel whose processes are killed under work, and the node's now and then too. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { prngFromSeed } from "../../libs/base/src/index.ts";
import { isFull, NodeProcess, plainEnvironment } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { bounded, hasFuse, KisekiMount } from "./kiseki-mount.ts";

setDefaultTimeout(isFull ? 600_000 : 20_000);
const seed = Number(process.env["KISEKI_SIM_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const rounds = isFull ? 40 : 2;

let node: NodeProcess;
beforeAll(async () => {
  if (!hasFuse) return;
  node = await NodeProcess.started({
    devices: 1,
    mirrors: 0,
    deviceSize: isFull ? "1GiB" : "256MiB",
  });
  using s3 = await S3Client.of(node);
  await s3.createBucket("kills");
});
afterAll(() => node?.[Symbol.asyncDispose]());

/** Lines that a child says, one after another. */
function linesOf(stream: ReadableStream<Uint8Array>): () => Promise<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  return async () => {
    while (!text.includes("\n")) {
      const { done, value } = await reader.read();
      if (done) return text;
      text += decoder.decode(value, { stream: true });
    }
    const [line = "", ...rest] = text.split("\n");
    text = rest.join("\n");
    return line;
  };
}

test.skipIf(!hasFuse)(
  `a mount killed under work has lost nothing that was synced (KISEKI_SIM_SEED=${seed})`,
  async () => {
    const prng = prngFromSeed(seed);
    const words = { namespace: "kills", seed: `127.0.0.1:${node.rpcPort}` };
    const s3Port = node.s3Port;
    const ports = ["--data-addr", words.seed, "--bulk-addr", `127.0.0.1:${node.bulkPort}`];
    await using mount = await KisekiMount.start(node, words);
    await using other = await KisekiMount.start(node, { ...words, options: "meta_ttl_ms=0" });
    const program = join(import.meta.dir, "kills.py");
    const child = Bun.spawn(["python3", program, mount.folder, `${seed}`, other.folder], {
      env: { ...plainEnvironment(), PYTHONDONTWRITEBYTECODE: "1" },
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    const errors = new Response(child.stderr).text();
    const next = linesOf(child.stdout);
    const expectLine = async (wanted: string): Promise<void> => {
      const line = await next();
      if (line !== wanted) throw new Error(`${line}: ${await errors}`);
    };
    for (let round = 1; round <= rounds; round += 1) {
      await Bun.sleep(200 + prng.below(1500));
      const isNodeToo = prng.chance(1, 3);
      if (isNodeToo) await node.kill();
      await mount.end("SIGKILL");
      await expectLine("down");
      if (isNodeToo) await node.start({ words: ports, s3Port });
      await mount.start(node, words);
      void child.stdin.write(round === rounds ? "end\n" : "on\n");
      await child.stdin.flush();
      await expectLine("checked");
    }
    using s3 = await S3Client.of(node);
    for (let line = await next(); line !== ""; line = await next()) {
      const [name = "", digest] = line.split(" ");
      const { body } = await s3.call("GET", "kills", name);
      expect([name, createHash("sha256").update(body).digest("hex")]).toEqual([name, digest!]);
    }
    expect([await child.exited, await errors]).toEqual([0, ""]);
  },
);

if (isFull) {
  test("a mount that is killed gives its locks back once its lease is over", async () => {
    const words = { namespace: "kills", options: "meta_ttl_ms=0" };
    await using one = await KisekiMount.start(node, words);
    await using two = await KisekiMount.start(node, words);
    writeFileSync(one.path("locked"), "");
    const held = [
      "python3",
      "-c",
      "import fcntl, sys, time\nf = open(sys.argv[1], 'r+')\nfcntl.flock(f, 2)\nfcntl.lockf(f, 2)\nprint(flush=True)\ntime.sleep(300)",
    ];
    const holder = Bun.spawn([...held, one.path("locked")], { stdout: "pipe" });
    await holder.stdout.getReader().read();
    const tries = (kind: string): number =>
      bounded(
        "python3",
        "-c",
        `import fcntl, sys; fcntl.${kind}(open(sys.argv[1], 'r+'), 2 | 4)`,
        two.path("locked"),
      ).code;
    const began = performance.now();
    await one.end("SIGKILL");
    expect([tries("flock"), tries("lockf")]).toEqual([1, 1]); // its lease runs on
    while (tries("flock") !== 0 || tries("lockf") !== 0) await Bun.sleep(500);
    expect(performance.now() - began).toBeLessThan(45_000);
    holder.kill("SIGKILL");
    await holder.exited;
  });
}

import { expect, test } from "bun:test";
import { fromUtf8, logIndex, prngFromSeed, toUtf8 } from "@kiseki/base";
import { openPlainPlace } from "./place.test-helper.ts";

const seed = Number(
  process.env["KISEKI_SIM_SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0],
);
const kills = 5;

/** Runs the victim until it has acknowledged `wanted` more rows, kills it, and returns the last number seen. */
async function runAndKill(path: string, wanted: number): Promise<number> {
  const child = Bun.spawn(
    [process.execPath, `${import.meta.dir}/crash-child.test-helper.ts`, path],
    {
      stdout: "pipe",
      stderr: "inherit",
    },
  );
  let text = "";
  let isKilled = false;
  const decoder = new TextDecoder();
  for await (const part of child.stdout) {
    text += decoder.decode(part);
    if (isKilled || text.split("\n").length <= wanted) continue;
    child.kill("SIGKILL");
    isKilled = true;
  }
  await child.exited;
  const whole = text.slice(0, text.lastIndexOf("\n"));
  return Number(whole.split("\n").at(-1));
}

test(`every acknowledged row survives SIGKILL, log and map agree (KISEKI_SIM_SEED=${seed})`, async () => {
  const prng = prngFromSeed(seed);
  await using place = await openPlainPlace();
  for (let kill = 0; kill < kills; kill++) {
    const acknowledged = await runAndKill(place.path, 1 + prng.below(400));
    await using store = await place.open();
    const { index, first } = store.head();
    expect(Number(index)).toBeGreaterThanOrEqual(acknowledged);
    expect(Number(index)).toBeLessThanOrEqual(acknowledged + 1);
    store.view((map) => {
      for (let n = 1; n <= Number(index); n++) {
        expect(fromUtf8(map.get(toUtf8(`row ${n}`))!)).toBe(`value ${n}`);
      }
      expect(map.get(toUtf8(`row ${Number(index) + 1}`))).toBeUndefined();
      expect(fromUtf8(map.get(toUtf8("last"))!)).toBe(`${index}`);
    });
    const entries = store.read(first, 4096, 1 << 24);
    expect(entries.map((entry) => Number(entry.index))).toEqual(
      Array.from({ length: Number(index - first) + 1 }, (_, i) => Number(first) + i),
    );
    if (entries.length > 0) {
      expect(entries.at(-1)!.index).toBe(logIndex(index));
      expect(fromUtf8(entries.at(-1)!.bytes)).toBe(`entry ${index}`);
    }
    const check = store.startSumCheck();
    expect(check.step(1_000_000)).toEqual({ kind: "right" });
  }
}, 20_000);

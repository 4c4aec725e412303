/** Debian's s3fs: a bucket mounted by FUSE, path style, everything else as it comes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFile,
  chmod,
  cp,
  mkdir,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { isFull, NodeProcess, until } from "../support/node-process.ts";
import { sizes } from "../support/odd-keys.ts";
import { content, digest, S3Client } from "../support/s3-client.ts";
import { Tools } from "../support/tools.ts";

const MiB = 1024 * 1024;
/** Fuzzing goes on beside it in the full run. */
const limitMs = isFull ? 60_000 : 20_000;
let node: NodeProcess;
let client: S3Client;
let tools: Tools;

beforeAll(async () => {
  node = await NodeProcess.started({ devices: 3, mirrors: 1, deviceSize: "256MiB" });
  client = await S3Client.of(node);
  tools = await Tools.of(node);
});
afterAll(async () => {
  client[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

/** A mounted bucket; disposing unmounts it and waits until s3fs has ended. */
async function mounted(bucket: string): Promise<AsyncDisposable & { readonly path: string }> {
  const { accessKey, secretKey } = await node.credentials();
  const path = join(tools.folder, `mounted-${bucket}`);
  const secrets = join(tools.folder, "passwd-s3fs");
  await mkdir(path, { recursive: true });
  await writeFile(secrets, `${accessKey}:${secretKey}\n`, { mode: 0o600 });
  const url = `http://127.0.0.1:${node.s3Port}`;
  const options = `passwd_file=${secrets},url=${url},use_path_request_style`;
  const child = tools.start(["s3fs", bucket, path, "-f", "-o", options]);
  const { dev } = await stat(tools.folder);
  await until(
    "s3fs has mounted",
    async () => child.exitCode !== null || (await stat(path)).dev !== dev,
  );
  return {
    path,
    async [Symbol.asyncDispose]() {
      await tools.run(["fusermount3", "-u", path]);
      await child.exited;
    },
  };
}

const hashOf = async (path: string): Promise<string> =>
  digest(new Uint8Array(await Bun.file(path).arrayBuffer()));

test(
  "s3fs copies a tree in, which a second mount and S3 read back",
  async () => {
    const some = sizes.filter((size) => size < 9 * MiB); // each goes through FUSE three times
    const files = new Map<string, number>(some.map((size) => [`size-${size}`, size]));
    for (const name of ["a b/ünï+%.txt", "a b/日本語", "what?#&;='"]) files.set(name, 321);
    const tree = await tools.makeTree("s3fs-tree", files);
    await client.createBucket("s3fs-tree");
    {
      await using mount = await mounted("s3fs-tree");
      await cp(tree, join(mount.path, "below"), { recursive: true });
      await chmod(join(mount.path, "below/size-1"), 0o640);
    }
    await using mount = await mounted("s3fs-tree");
    for (const name of files.keys()) {
      const sent = await hashOf(join(tree, name));
      expect([name, await hashOf(join(mount.path, "below", name))]).toEqual([name, sent]);
      expect(digest((await client.get("s3fs-tree", `below/${name}`))!)).toBe(sent);
    }
    const { mode, size } = await stat(join(mount.path, "below/size-1"));
    expect([mode & 0o777, size]).toEqual([0o640, 1]);
    expect((await readdir(join(mount.path, "below/a b"))).toSorted()).toEqual([
      "ünï+%.txt",
      "日本語",
    ]);
  },
  limitMs,
);

test(
  "s3fs edits in place, appends, cuts, moves files and directories, and removes",
  async () => {
    await client.createBucket("s3fs-edit");
    await client.put("s3fs-edit", "by-s3/one", content("one", 22 * MiB));
    {
      await using mount = await mounted("s3fs-edit");
      const at = (name: string): string => join(mount.path, name);
      expect(await hashOf(at("by-s3/one"))).toBe(digest(content("one", 22 * MiB)));
      await appendFile(at("by-s3/one"), "appended");
      await mkdir(at("made/deep"), { recursive: true });
      await writeFile(at("made/deep/note"), "first line\nsecond line\n");
      await tools.run(["sed", "-i", "s/first/1st/", at("made/deep/note")]);
      await tools.run(["truncate", "--size=8", at("made/deep/note")]); // by path alone s3fs 1.90 makes zeros of it
      await rename(at("made"), at("moved"));
      await rename(at("by-s3/one"), at("moved/one"));
      await writeFile(at("moved/gone"), "");
      await rm(at("moved/gone"));
      expect((await readdir(mount.path)).toSorted()).toEqual(["moved"]); // a prefix goes with its last object
    }
    const note = await client.get("s3fs-edit", "moved/deep/note");
    expect(Buffer.from(note!).toString()).toBe("1st line");
    const one = (await client.get("s3fs-edit", "moved/one"))!;
    expect(one.byteLength).toBe(22 * MiB + 8);
    expect(digest(one.subarray(0, -8))).toBe(digest(content("one", 22 * MiB)));
    expect(await client.get("s3fs-edit", "moved/gone")).toBeUndefined();
  },
  limitMs,
);

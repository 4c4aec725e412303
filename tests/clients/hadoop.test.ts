/** Hadoop's s3a: shell, job and committers, each a program of its own; in the full run alone. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isFull, NodeProcess } from "../support/node-process.ts";
import { digest, S3Client } from "../support/s3-client.ts";
import { cached, Tools } from "../support/tools.ts";

let node: NodeProcess;
let client: S3Client;
let tools: Tools;

/** Starts a class with s3a configured for the node. */
const run = (name: string, ...words: string[]): Promise<string> => {
  const jars = cached("hadoop-clients-1/lib/hadoop-common-3.4.2.jar", "--tests-full");
  const path = `${join(tools.folder, "conf")}:${join(jars, "..")}/*`;
  return tools.run(["java", "-Xmx512m", "-cp", path, `org.apache.hadoop.${name}`, ...words]);
};
const shell = (...words: string[]): Promise<string> => run("fs.FsShell", ...words);

async function prepare(): Promise<void> {
  node = await NodeProcess.started({ devices: 3, mirrors: 1, deviceSize: "256MiB" });
  client = await S3Client.of(node);
  tools = await Tools.of(node);
  await client.createBucket("hadoop");
  await mkdir(join(tools.folder, "conf"));
  const settings = {
    "fs.s3a.endpoint": `http://127.0.0.1:${node.s3Port}`,
    "fs.s3a.endpoint.region": "kiseki",
    "fs.s3a.path.style.access": "true",
  };
  const rows = Object.entries(settings).map(
    ([name, value]) => `<property><name>${name}</name><value>${value}</value></property>`,
  );
  const text = `<configuration>${rows.join("")}</configuration>`;
  await writeFile(join(tools.folder, "conf/core-site.xml"), text);
}

if (isFull) {
  beforeAll(prepare, 20_000);
  afterAll(async () => {
    client[Symbol.dispose]();
    await node[Symbol.asyncDispose]();
  });

  test("Hadoop's shell puts, copies, renames, gets and removes trees over s3a", async () => {
    const files = new Map([
      ["empty", 0],
      ["one", 1],
      ["below/b c+ü", 4097],
      ["below/large", 70 * 1024 * 1024],
    ]);
    const tree = await tools.makeTree("tree", files);
    await shell("-put", tree, "s3a://hadoop/put");
    await shell("-cp", "s3a://hadoop/put", "s3a://hadoop/copied");
    await shell("-mv", "s3a://hadoop/put", "s3a://hadoop/moved");
    const listed = await shell("-ls", "-R", "s3a://hadoop/");
    expect(listed).not.toContain("hadoop/put");
    expect(listed).toContain("s3a://hadoop/copied/below/b c+ü");
    await shell("-get", "s3a://hadoop/moved", join(tools.folder, "back"));
    for (const name of files.keys()) {
      const sent = digest(await Bun.file(join(tree, name)).bytes());
      const back = digest(await Bun.file(join(tools.folder, "back", name)).bytes());
      expect([name, back]).toEqual([name, sent]);
      expect(digest((await client.get("hadoop", `copied/${name}`))!)).toBe(sent);
    }
    await shell("-rm", "-r", "-skipTrash", "s3a://hadoop/copied", "s3a://hadoop/moved");
    const left = [...(await client.list("hadoop")).keys()];
    expect(left.filter((name) => /^(put|copied|moved)\//.test(name))).toEqual([]);
  }, 240_000);

  for (const committer of ["magic", "directory"]) {
    test(`a job writes through s3a's ${committer} committer, and leaves nothing else`, async () => {
      const source = `in-${committer}/words`;
      await client.put("hadoop", source, "one two two\nthree three three\n");
      const factory = "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory";
      await run(
        "examples.ExampleDriver",
        "wordcount",
        ...["-D", "mapreduce.framework.name=local", "-D", "fs.defaultFS=file:///"],
        ...["-D", `hadoop.tmp.dir=${tools.folder}/tmp`, "-D", `fs.s3a.committer.name=${committer}`],
        ...["-D", `mapreduce.outputcommitter.factory.scheme.s3a=${factory}`],
        `s3a://hadoop/in-${committer}`,
        `s3a://hadoop/out-${committer}`,
      );
      const keys = [...(await client.list("hadoop")).keys()].filter((key) =>
        key.startsWith(`out-${committer}/`),
      );
      const part = keys.find((key) => key.includes("/part-r-00000"))!;
      const directory = `out-${committer}/`; // s3a keeps the markers that it makes
      expect(keys.toSorted()).toEqual([directory, `${directory}_SUCCESS`, part].toSorted());
      const counts = Buffer.from((await client.get("hadoop", part))!).toString();
      expect(counts).toBe("one\t1\nthree\t3\ntwo\t2\n");
      const said = (await client.get("hadoop", `out-${committer}/_SUCCESS`))!;
      expect(JSON.parse(Buffer.from(said).toString())).toMatchObject({ success: true, committer });
      const { body } = await client.expect("GET", "hadoop", "", { query: { uploads: "" } });
      expect(Buffer.from(body).toString()).not.toContain("<UploadId>");
    }, 120_000);
  }
}

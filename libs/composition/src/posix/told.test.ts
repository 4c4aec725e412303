/** What those who subscribed to a namespace are told of changes by file protocols. */
import { fromUtf8, operationId, toUtf8 } from "@kiseki/base";
import { decodeNotice, decodeRowWrites, isLoggedNoticeKey } from "@kiseki/format";
import { beforeEach, expect, test } from "bun:test";
import { namespaceA } from "../bed.test-helper.ts";
import { Tree } from "./bed.test-helper.ts";
import { ContentBed } from "./content-bed.test-helper.ts";

const client = new Uint8Array(16).fill(1);
const other = new Uint8Array(16).fill(2);
let tree: Tree;
let content: ContentBed;

function open(versioning?: "enabled"): void {
  tree = new Tree(versioning);
  content = new ContentBed(1, tree);
  const setting = { kind: "put_setting", namespace: namespaceA, setting: "notification" } as const;
  expect(tree.bed.decide({ ...setting, value: new Uint8Array(1) })).toEqual({ kind: "none" });
  tree.mkdir("a");
  tree.mkdir("a/b");
  told();
}
beforeEach(() => open());

/** Events, keys and sizes in the log since the last call. */
function told(): readonly string[] {
  return tree.bed.log.splice(0).flatMap((payload) => {
    const rows = decodeRowWrites(payload);
    if (rows instanceof Error) throw rows;
    return rows
      .filter((row) => isLoggedNoticeKey(row.key))
      .map((row) => decodeNotice(row.value!))
      .map(({ event, key, size }) => `${event} ${fromUtf8(key)} ${size}`);
  });
}
function write(path: string, size: number): void {
  const { pieces } = content.pieces(0, size);
  content.act(tree.get(path).ref, { kind: "write_file", pieces });
}
const hold = (kind: "open_file" | "close_file", path: string, who = client) =>
  tree.bed.decide({ kind, namespace: namespaceA, file: tree.get(path).ref, client: who });

test("decide() tells of each change of a file that nobody holds open, under its key", () => {
  tree.make("a/b/f");
  expect(told()).toEqual(["created:put a/b/f 0"]);
  write("a/b/f", 100);
  expect(told()).toEqual(["created:put a/b/f 100"]);
  content.act(tree.get("a/b/f").ref, { kind: "truncate_file", size: 7 });
  expect(told()).toEqual(["created:put a/b/f 7"]);
  tree.rename("a/b/f", "g");
  expect(told()).toEqual(["removed:delete a/b/f 0", "created:copy g 7"]);
  tree.link("g", "a/h");
  expect(told()).toEqual(["created:copy a/h 7"]);
  tree.unlink("g");
  expect(told()).toEqual(["removed:delete g 0"]);
  write("a/h", 50);
  expect(told()).toEqual(["created:put a/h 50"]);
  tree.make("x");
  told();
  tree.rename("x", "a/h", { flag: "exchange" });
  expect(told()).toEqual(["created:copy x 50", "created:copy a/h 0"]);
});

test("decide() tells of a file that is held open once, at the close or the end of the session", () => {
  tree.make("f", { client });
  write("f", 10);
  write("f", 20);
  hold("open_file", "f", other);
  hold("open_file", "f");
  expect(told()).toEqual([]);
  hold("close_file", "f", other);
  hold("close_file", "f");
  expect(told()).toEqual(["created:put f 20"]);
  hold("open_file", "f");
  hold("close_file", "f");
  expect(told()).toEqual([]);
  hold("open_file", "f");
  write("f", 30);
  tree.rename("f", "a/f");
  expect(told()).toEqual(["removed:delete f 0", "created:copy a/f 30"]);
  tree.bed.decide({ kind: "close_session", client });
  expect(told()).toEqual(["created:put a/f 30"]);
  hold("open_file", "a/f");
  write("a/f", 40);
  tree.unlink("a/f", client);
  tree.bed.decide({ kind: "close_session", client });
  expect(told()).toEqual(["removed:delete a/f 0"]);
});

test("decide() tells nothing of what S3 does not show, of attributes, and where nobody subscribed", () => {
  tree.make("link", { type: "symlink", target: toUtf8("a") });
  tree.make("pipe", { type: "fifo" });
  const made = tree.act({
    ...{ kind: "make_node", namespace: namespaceA, directory: tree.root, type: "file" },
    ...{ name: Uint8Array.of(0xff), isExclusive: true, mode: 0o644, uid: 1, gid: 2 },
  });
  expect(made).toMatchObject({ type: "file" });
  tree.unlink("pipe");
  tree.mkdir("d");
  tree.rename("d", "e");
  tree.rmdir("e");
  expect(told()).toEqual([]);
  tree.make("f");
  told();
  const file = tree.get("f").ref;
  tree.act({ kind: "set_attributes", namespace: namespaceA, file, mode: 0o600 });
  expect(told()).toEqual([]);
  const setting = {
    kind: "delete_setting",
    namespace: namespaceA,
    setting: "notification",
  } as const;
  hold("open_file", "f");
  write("f", 5);
  tree.bed.decide(setting);
  hold("close_file", "f");
  write("f", 6);
  expect(told()).toEqual([]);
});

test("decide() tells of the delete marker that takes the place of a file where versions are kept", () => {
  open("enabled");
  tree.make("f");
  told();
  tree.unlink("f");
  expect(told()).toEqual(["removed:marker f 0"]);
});

test("decide() tells of nothing twice when an operation comes again", () => {
  const once = operationId(new Uint8Array(16).fill(9));
  const make = { kind: "make_node", namespace: namespaceA, ...tree.place("f"), once } as const;
  const given = { type: "file", isExclusive: true, mode: 0o644, uid: 1, gid: 2 } as const;
  tree.bed.decide({ ...make, ...given });
  tree.bed.decide({ ...make, ...given });
  expect(told()).toEqual(["created:put f 0"]);
});

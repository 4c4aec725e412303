import type { InodeId } from "@kiseki/base";
import { assert, fromUtf8, inodeId, toUtf8 } from "@kiseki/base";
import type { NamespaceRow } from "@kiseki/format";
import type { Bed } from "../bed.test-helper.ts";
import { bedWithNamespace, namespaceA, testDirKeys } from "../bed.test-helper.ts";
import { getNamespace } from "../namespaces.ts";
import type { Answer, Operation, RefusalCode } from "../operation.ts";
import { listDirectory } from "./list-directory.ts";
import { getFile, lookupName } from "./lookup.ts";
import type { FileAttributes, PlaceName, PosixOperation } from "./operation.ts";
import type { FoundFile } from "./reading.ts";

type MakeNode = Extract<PosixOperation, { kind: "make_node" }>;
type Stated = FileAttributes | RefusalCode;
const nowhere = inodeId(0xdead_beefn);
const attributesOf = (answer: Answer | RefusalCode): Stated => {
  if (typeof answer === "string") return answer;
  assert(answer.kind === "file", "a file protocol answers a file");
  return answer.attributes;
};
const statedOf = (found: FoundFile): Stated =>
  found.kind === "refused" ? found.code : found.attributes;

/** Namespace A of a bed by paths such as `a/b`; its root is the empty path. */
export class Tree {
  readonly bed: Bed;
  readonly root: InodeId;

  constructor(versioning: NamespaceRow["versioning"] = "off", bed = bedWithNamespace(versioning)) {
    this.bed = bed;
    const row = getNamespace(bed.map, namespaceA);
    assert(row !== undefined, "the bed has a namespace");
    this.root = row.root;
  }
  /** The directory and last name of a path. */
  place(path: string): PlaceName {
    const at = path.lastIndexOf("/");
    const parent = this.stat(at < 0 ? "" : path.slice(0, at));
    const directory = typeof parent === "string" ? nowhere : parent.ref.inode;
    return { directory, name: toUtf8(path.slice(at + 1)) };
  }
  stat(path: string): Stated {
    const { map } = this.bed;
    const namespace = namespaceA;
    if (path === "") {
      return statedOf(getFile(map, testDirKeys, { namespace, home: 0n, inode: this.root }));
    }
    return statedOf(lookupName(map, testDirKeys, { namespace, ...this.place(path) }));
  }
  /** What `stat` answers where it must be there. */
  get(path: string): FileAttributes {
    const found = this.stat(path);
    assert(typeof found !== "string", `there is ${path}`);
    return found;
  }
  /** What an operation of a file protocol answers. */
  act(operation: Operation): Stated {
    return attributesOf(this.bed.decide(operation));
  }
  make(path: string, more: Partial<MakeNode> = {}): Stated {
    const given = { type: "file", isExclusive: true, mode: 0o644, uid: 1, gid: 2 } as const;
    const place = this.place(path);
    return this.act({ kind: "make_node", namespace: namespaceA, ...place, ...given, ...more });
  }
  mkdir(path: string, mode = 0o755): Stated {
    return this.make(path, { type: "directory", mode });
  }
  unlink(path: string, client?: Uint8Array): Stated {
    const given = client === undefined ? {} : { client };
    return this.act({ kind: "unlink", namespace: namespaceA, ...this.place(path), ...given });
  }
  rmdir(path: string): Stated {
    return this.act({ kind: "rmdir", namespace: namespaceA, ...this.place(path) });
  }
  rename(
    from: string,
    to: string,
    given: Pick<Extract<PosixOperation, { kind: "rename" }>, "flag" | "client"> = {},
  ): Stated {
    const ends = { from: this.place(from), to: this.place(to) };
    return this.act({ kind: "rename", namespace: namespaceA, ...ends, ...given });
  }
  link(from: string, to: string): Stated {
    const file = this.get(from).ref;
    return this.act({ kind: "link", namespace: namespaceA, ...this.place(to), file });
  }
  /** Names of a directory in the order of its list, over pages of two. */
  list(path: string): readonly string[] {
    const names: string[] = [];
    const directory = this.get(path).ref.inode;
    let after: Uint8Array | undefined;
    do {
      const query = { namespace: namespaceA, directory, after, countMax: 2 };
      const page = listDirectory(this.bed.map, testDirKeys, query);
      assert(page.kind === "page", `${path} is listed`);
      names.push(...page.items.map(({ name }) => fromUtf8(name) ?? name.toHex()));
      after = page.next;
    } while (after !== undefined);
    return names;
  }
}

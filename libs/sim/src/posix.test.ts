// Goal: what other libs build on, the face that the shard's machine shows to file protocols, holds together.
// Method: operations decided and applied in order over a map in memory, each read of the face once.
import type { InodeId } from "@kiseki/base";
import {
  assert,
  fromUtf8,
  namespaceId,
  newBytes,
  operationId,
  toUtf8,
  wallTime,
} from "@kiseki/base";
import type {
  ClientId,
  DirectoryItem,
  DirectoryPage,
  DirectoryQuery,
  FileAttributes,
  FileRef,
  FoundFile,
  FoundLock,
  LockRange,
  NamespaceStatus,
  NewTime,
  Operation,
  PlaceName,
  PosixAnswer,
  PosixOperation,
} from "@kiseki/composition";
import {
  apply,
  decide,
  defaultLimits,
  findLock,
  getFile,
  getXattr,
  listDirectory,
  listXattrs,
  lookupName,
  lookupSession,
  readLink,
  statNamespace,
} from "@kiseki/composition";
import { memoryMap } from "@kiseki/composition/contract";
import { expect, test } from "bun:test";

const namespace = namespaceId(newBytes(16).fill(1));
const client: ClientId = newBytes(16).fill(2);
const dirKeys = {
  dirKey: (inode: InodeId): Uint8Array => {
    const key = newBytes(16);
    new DataView(key.buffer).setBigUint64(8, inode);
    return key;
  },
  hiddenName: (dirKey: Uint8Array): Uint8Array => dirKey,
};

function shard() {
  const map = memoryMap();
  const perform = (operation: Operation) => {
    const decision = decide(map, operation, {
      now: wallTime(1_000),
      operationId: operationId(newBytes(16)),
      dirKeys,
      md5: () => newBytes(16),
      limits: defaultLimits,
    });
    if (decision.kind === "change") apply(map, decision.change);
    return decision.kind === "refused" ? decision : decision.answer;
  };
  const file = (operation: PosixOperation): FileAttributes => {
    const answer: PosixAnswer | { readonly kind: string } = perform(operation);
    assert(answer.kind === "file" && "attributes" in answer, `${operation.kind} is taken`);
    return answer.attributes;
  };
  perform({ kind: "create_namespace", id: namespace, name: "bucket" });
  const status: NamespaceStatus | { readonly kind: "refused" } = statNamespace(map, namespace);
  assert(status.kind === "status", "the namespace is there");
  return { map, perform, file, root: status.root };
}

test("a file is made, found by name and by reference, listed, locked and given attributes", () => {
  const { map, perform, file, root } = shard();
  const place: PlaceName = { directory: root, name: toUtf8("f") };
  const made = { isExclusive: true, mode: 0o644, uid: 0, gid: 0, namespace } as const;
  const { ref }: { readonly ref: FileRef } = file({
    kind: "make_node",
    ...made,
    ...place,
    type: "file",
  });
  const mtime: NewTime = -5n;
  file({ kind: "set_attributes", namespace, file: ref, mode: 0o600, mtime });
  const found: FoundFile = lookupName(map, dirKeys, { namespace, ...place });
  expect(found).toEqual(getFile(map, dirKeys, ref));
  expect(found).toMatchObject({ attributes: { mode: 0o600, mtime: -5n, ctime: 1_000_000_000n } });

  const attribute = toUtf8("user.a");
  file({ kind: "set_xattr", namespace, file: ref, attribute, value: Uint8Array.of(1) });
  expect(getXattr(map, dirKeys, ref, attribute)).toEqual({
    kind: "value",
    value: Uint8Array.of(1),
  });
  expect(listXattrs(map, dirKeys, ref)).toEqual({ kind: "names", names: [attribute] });

  const symlink = { ...made, type: "symlink", directory: root, target: toUtf8("f") } as const;
  const link = file({ kind: "make_node", ...symlink, name: toUtf8("l") });
  expect(readLink(map, dirKeys, link.ref)).toEqual({ kind: "target", target: toUtf8("f") });

  const query: DirectoryQuery = { namespace, directory: root, countMax: 10 };
  const page: DirectoryPage | { readonly kind: "refused" } = listDirectory(map, dirKeys, query);
  assert(page.kind === "page", "the root is listed");
  const names = page.items.map(({ name }: DirectoryItem) => fromUtf8(name));
  expect(names).toEqual(["f", "l"]);

  perform({ kind: "open_session", client, expires: 5_000 });
  expect(lookupSession(map, client)).toBe(5_000);
  const lock: LockRange = {
    space: "posix",
    kind: "exclusive",
    owner: 1n,
    start: 0n,
    end: 10n,
    pid: 7,
  };
  expect(perform({ kind: "lock", namespace, file: ref, client, lock })).toEqual({ kind: "none" });
  const other = newBytes(16).fill(3);
  const held: FoundLock | { readonly kind: "refused" } = findLock(map, dirKeys, {
    file: ref,
    client: other,
    lock,
  });
  expect(held).toEqual({ kind: "lock", client, lock });
  perform({ kind: "close_session", client });
  expect(findLock(map, dirKeys, { file: ref, client: other, lock })).toEqual({ kind: "free" });
  expect(lookupSession(map, client)).toBeUndefined();
});

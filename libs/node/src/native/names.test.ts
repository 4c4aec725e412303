import { afterAll, beforeAll, expect, test } from "bun:test";
import { newBytes, toUtf8 } from "@kiseki/base";
import { systemPrng } from "@kiseki/host";
import { toRpcError } from "@kiseki/rpc";
import { type Mount, NativeBed } from "./bed.test-helper.ts";

let bed: NativeBed;
let mount: Mount;
beforeAll(async () => {
  bed = await NativeBed.open();
  mount = await bed.mount();
});
afterAll(() => bed[Symbol.asyncDispose]());

const id = (): Uint8Array => systemPrng.fill(newBytes(16));
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (reason: unknown) => toRpcError(reason).code,
  );
type Draft = NonNullable<Parameters<Mount["client"]["files"]["apply"]>[0]["operations"]>[number];
const create = (name: string, more: object = {}): Draft =>
  ({
    operationId: id(),
    kind: {
      case: "create",
      value: {
        parent: mount.root,
        name: toUtf8(name),
        type: "file",
        mode: 0o640,
        owner: { uid: 7, gid: 8 },
        isExclusive: true,
        ...more,
      },
    },
  }) as Draft;
const apply = async (operations: readonly Draft[], at = mount.at) =>
  mount.client.files.apply({ ...at, operations: [...operations] });

test("discover() tells everybody where the node is, and nothing of tenants", async () => {
  const found = await mount.client.discovery.discover({});
  expect(found.shards).toMatchObject([
    { endpoint: bed.endpoint, bulkEndpoint: `127.0.0.1:${bed.bulk.port}`, isBulkTls: false },
  ]);
  expect(found.authentication).toMatchObject({ needsCertificate: false, takesToken: true });
  expect([found.ttlMs > 0, found.protocol, found.clusterId.byteLength]).toEqual([true, 1, 16]);
});

test("apply() makes files and directories, which lookup() and listDirectory() show", async () => {
  const [made] = (await apply([create("shown", { type: "directory" })])).results;
  const parent = made!.attributes!.inode;
  const { results } = await apply([
    create("one", { parent }),
    create("folder", { parent, type: "directory", mode: 0o750 }),
    create("pointer", { parent, type: "symlink", target: toUtf8("one") }),
    create("one", { parent }),
  ]);
  expect(results.map(({ failure }) => failure?.code)).toEqual([
    undefined,
    undefined,
    undefined,
    "file_exists",
  ]);
  const [one] = results;
  expect(one).toMatchObject({ isMade: true, directories: [{ inode: parent }] });
  const { files } = mount.client;
  const found = await files.lookup({ ...mount.at, parent, name: toUtf8("one") });
  expect(found.attributes).toEqual(one!.attributes);
  expect(found.attributes).toMatchObject({ type: "file", mode: 0o640, uid: 7, gid: 8, links: 1 });
  const { home, inode } = found.attributes!;
  const again = await files.getAttributes({ ...mount.at, file: { home, inode } });
  expect(again.attributes).toEqual(found.attributes);
  const pointer = results[2]!.attributes!;
  const file = { home: pointer.home, inode: pointer.inode };
  const { target } = await files.readLink({ ...mount.at, file });
  expect(Buffer.from(target).toString()).toBe("one");
  const page = { ...mount.at, directory: parent, countMax: 2, withAttributes: true };
  const first = await files.listDirectory(page);
  const rest = await files.listDirectory({ ...page, cookie: first.entries.at(-1)!.cookie });
  const names = [...first.entries, ...rest.entries].map(({ name }) => Buffer.from(name).toString());
  expect(names.toSorted()).toEqual(["folder", "one", "pointer"]);
  expect(first.entries.every(({ attributes }) => attributes !== undefined)).toBe(true);
});

test("apply() makes nodes of every type, which attributes and listings name as the protocol does", async () => {
  const [made] = (await apply([create("types", { type: "directory" })])).results;
  const parent = made!.attributes!.inode;
  const types = ["file", "directory", "fifo", "socket", "character_device", "block_device"];
  const drafts = types.map((type) =>
    create(type, { parent, type, ...(type.endsWith("device") ? { device: 0x102 } : {}) }),
  );
  const { results } = await apply(drafts);
  expect(results.map(({ attributes }) => attributes?.type)).toEqual(types);
  const { entries } = await mount.client.files.listDirectory({ ...mount.at, directory: parent });
  expect(entries.map(({ type }) => type).toSorted()).toEqual(types.toSorted());
  const unknown = apply([create("odd", { parent, type: "door" })]);
  expect((await unknown).results[0]?.failure?.code).toBe("invalid");
});

test("apply() answers an operation that comes again as it did, and does it once", async () => {
  const operation = create("once");
  const both = await Promise.all([apply([operation]), apply([operation])]);
  const [first, second] = both.map(({ results }) => results[0]!);
  expect(first!.failure).toBeUndefined();
  expect(second).toEqual(first!);
  expect((await apply([operation])).results[0]).toEqual(first!);
});

test("apply() keeps the order of one request", async () => {
  const directory = create("ordered", { type: "directory" });
  const moves = [
    { operationId: id(), kind: { case: "rename", value: { parent: mount.root, name: toUtf8("ordered"), targetParent: mount.root, targetName: toUtf8("later") } } },
    { operationId: id(), kind: { case: "removeDirectory", value: { parent: mount.root, name: toUtf8("later") } } },
    { operationId: id(), kind: { case: "removeDirectory", value: { parent: mount.root, name: toUtf8("later") } } },
  ] as unknown as Draft[]; // prettier-ignore
  const { results } = await apply([directory, ...moves]);
  expect(results.map(({ failure }) => failure?.code)).toEqual([
    undefined,
    undefined,
    undefined,
    "no_such_file",
  ]);
});

test("xattrs, locks and opens go through the log", async () => {
  const [made] = (await apply([create("marked", { isOpened: true })])).results;
  const file = { home: made!.attributes!.home, inode: made!.attributes!.inode };
  const { files } = mount.client;
  const set = (value: object, kind: string): Draft =>
    ({ operationId: id(), kind: { case: kind, value } }) as Draft;
  const name = toUtf8("user.colour");
  await apply([set({ file, name, value: toUtf8("blue") }, "setXattr")]);
  expect((await files.getXattr({ ...mount.at, file, name })).value).toEqual(toUtf8("blue"));
  expect((await files.listXattrs({ ...mount.at, file })).names).toEqual([name]);
  const lock = { kind: "range", isExclusive: true, start: 0n, end: 10n, owner: 1n, process: 42 };
  expect((await apply([set({ file, lock }, "takeLock")])).results[0]!.failure).toBeUndefined();
  const other = await bed.mount();
  const tried = await other.client.files.apply({
    ...other.at,
    operations: [set({ file, lock: { ...lock, owner: 9n } }, "takeLock")],
  });
  expect(tried.results[0]!.failure?.code).toBe("lock_conflict");
  const test = await other.client.files.testLock({ ...other.at, file, lock });
  expect(test.conflict).toMatchObject({ kind: "range", start: 0n, end: 10n, isExclusive: true });
  await apply([set({ parent: mount.root, name: toUtf8("marked") }, "unlink")]);
  const unlinked = await files.getAttributes({ ...mount.at, file });
  expect(unlinked.attributes).toMatchObject({ links: 0 });
  await files.closeSession({ session: mount.session });
  mount = await bed.mount();
  expect((await mount.client.files.getAttributes({ ...mount.at, file })).failure?.code).toBe(
    "stale_file",
  );
  const free = await other.client.files.testLock({ ...other.at, file, lock });
  expect(free.failure?.code ?? "free").toMatch(/free|stale_file/);
});

test("a session is one client's: others, old ones and strangers are refused", async () => {
  const { files } = mount.client;
  const stale = await files.lookup({ ...mount.at, session: id(), parent: 1n, name: toUtf8("a") });
  expect(stale.failure).toMatchObject({ code: "session_expired", isRetriable: false });
  const again = await bed.mount("", new Uint8Array(mount.clientId));
  const before = await files.renewSession({ session: mount.session });
  expect(before.failure?.code).toBe("session_expired");
  mount = again;
  expect((await mount.client.files.renewSession({ session: mount.session })).leaseMs).toBe(30_000);
  expect(await codeOf(files.openSession({ clientId: newBytes(15) }))).toBe("invalid");
  expect(await codeOf(files.openSession({ clientId: id(), tenant: "nobody" }))).toBe("forbidden");
});

test("getStatistics() tells real numbers", async () => {
  const { files } = mount.client;
  const found = await files.getStatistics(mount.at);
  expect(found.totalBytes).toBeGreaterThan(50n << 20n);
  expect(found.freeBytes).toBeLessThanOrEqual(found.totalBytes);
  expect(found.filesFree).toBeGreaterThan(0n);
});

test("requests beyond the limits are refused whole", async () => {
  const many = Array.from({ length: 257 }, (_, i) => create(`many-${i}`));
  expect((await apply(many)).failure?.code).toBe("invalid");
  expect((await apply([])).failure?.code).toBe("invalid");
  expect(
    (await apply([{ ...create("odd"), operationId: newBytes(3) } as Draft])).failure?.code,
  ).toBe("invalid");
  const { files } = mount.client;
  const page = { ...mount.at, directory: mount.root, countMax: 1025 };
  expect((await files.listDirectory(page)).failure?.code).toBe("invalid");
});

test("watchChanges() tells another client which inodes change", async () => {
  const other = await bed.mount();
  const leaving = new AbortController();
  const changes = other.client.files.watchChanges(other.at, { signal: leaving.signal });
  const stream = changes[Symbol.asyncIterator]();
  expect((await stream.next()).value).toMatchObject({ isReset: false, changes: [] });
  const [made] = (await apply([create("watched")])).results;
  const told = (await stream.next()).value!.changes;
  const inode = made!.attributes!.inode;
  expect(told).toContainEqual(
    expect.objectContaining({ inode: mount.root, isDirectory: true, isOwn: false }),
  );
  expect(told).toContainEqual(expect.objectContaining({ inode, isDirectory: false, isOwn: false }));
  const own = mount.client.files.watchChanges(
    { ...mount.at, position: 0n },
    { signal: leaving.signal },
  );
  const mine = own[Symbol.asyncIterator]();
  await mine.next();
  await apply([create("watched too")]);
  expect(
    (await mine.next()).value!.changes.map(({ isOwn }: { isOwn: boolean }) => isOwn),
  ).not.toContain(false);
  expect(
    (await stream.next()).value!.changes.map(({ isOwn }: { isOwn: boolean }) => isOwn),
  ).not.toContain(true);
  leaving.abort();
  await stream.next().catch(() => undefined);
});

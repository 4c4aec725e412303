import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { millis, prngFromSeed, type TenantId, wallTime } from "@kiseki/base";
import {
  type AliasedBucket,
  AliasQueue,
  type Catalog,
  CatalogError,
  openCatalog,
} from "./index.ts";

/** A catalog that counts its transactions, a queue on it, and the buckets that there are. */
function openBed() {
  const clock = {
    monotonic: () => millis(0),
    realtime: () => wallTime(1_700_000_000_000),
    sleep: () => Promise.resolve(),
  };
  const database = new Database(":memory:");
  const catalog: Catalog = openCatalog({ clock, prng: prngFromSeed(5), database });
  const sizes: number[] = [];
  const queue = new AliasQueue({
    changeAliases(changes) {
      sizes.push(changes.length);
      return catalog.changeAliases(changes);
    },
  });
  const made = new Set<string>();
  const tenant = catalog.createTenant("a").tenant.id;
  const bucket = (name: string, of: TenantId = tenant): AliasedBucket => ({
    ...{ tenant: of, name, exists: () => made.has(name) },
  });
  return { catalog, database, queue, sizes, made, bucket, tenant };
}
const nothing = (): Promise<void> => Promise.resolve();
const gate = () => Promise.withResolvers<void>();

test("AliasQueue.make() of many buckets at once takes their names in few transactions", async () => {
  const { catalog, queue, sizes, bucket, tenant } = openBed();
  const names = Array.from({ length: 300 }, (_, at) => `bucket-${at}`);
  const answers = await Promise.all(
    names.map((name) =>
      queue.make(bucket(name), () => {
        expect(catalog.lookUpAlias(name)).toEqual(tenant); // taken before the bucket is made
        return Promise.resolve(name);
      }),
    ),
  );
  expect(answers).toEqual(names);
  expect(sizes).toEqual([256, 44]);
});
test("AliasQueue.make() leaves another tenant's name alone, and refuses what the catalog refuses", async () => {
  const { catalog, queue, bucket, tenant } = openBed();
  const other = catalog.createTenant("b").tenant.id;
  await queue.make(bucket("photos"), nothing);
  await queue.make(bucket("photos", other), nothing);
  expect(catalog.lookUpAlias("photos")).toEqual(tenant);
  const failing = queue.make(bucket("photos", other), () => Promise.reject(new Error("no")));
  await expect(failing).rejects.toThrow("no");
  expect(catalog.lookUpAlias("photos")).toEqual(tenant);
  const [good, bad] = await Promise.allSettled([
    queue.make(bucket("good"), nothing),
    queue.make(bucket("Bad"), nothing),
  ]);
  expect(good.status).toBe("fulfilled");
  expect(bad.status === "rejected" && bad.reason).toBeInstanceOf(CatalogError);
});
test("AliasQueue.make() that fails gives the name back, unless the bucket is there or being made", async () => {
  const { catalog, queue, made, bucket, tenant } = openBed();
  const fail = (): Promise<never> => Promise.reject(new Error("no"));
  await expect(queue.make(bucket("one"), fail)).rejects.toThrow("no");
  expect(catalog.lookUpAlias("one")).toBeUndefined();

  const winner = gate();
  const first = queue.make(bucket("two"), () => winner.promise);
  await expect(queue.make(bucket("two"), fail)).rejects.toThrow("no");
  expect(catalog.lookUpAlias("two")).toEqual(tenant);
  winner.resolve();
  await first;
  made.add("two");
  await expect(queue.make(bucket("two"), fail)).rejects.toThrow("no");
  expect(catalog.lookUpAlias("two")).toEqual(tenant);
});
test("AliasQueue.release() keeps the name of a bucket that is being made anew", async () => {
  const { catalog, queue, made, bucket, tenant } = openBed();
  await queue.make(bucket("one"), nothing);
  const again = gate();
  const making = queue.make(bucket("one"), () => again.promise);
  await queue.release(bucket("one")); // the first one was deleted just now
  again.resolve();
  await making;
  made.add("one");
  expect(catalog.lookUpAlias("one")).toEqual(tenant);
  await queue.release(bucket("one"));
  expect(catalog.lookUpAlias("one")).toEqual(tenant);
  made.delete("one");
  await queue.release(bucket("one"));
  expect(catalog.lookUpAlias("one")).toBeUndefined();
});
test("AliasQueue tells all who share a transaction that it failed, and goes on", async () => {
  const { catalog, database, queue, bucket } = openBed();
  database.run(
    "CREATE TRIGGER broken BEFORE INSERT ON aliases WHEN new.name = 'bad' BEGIN SELECT RAISE(ABORT, 'full'); END",
  );
  const made: string[] = [];
  const make = (name: string) =>
    queue.make(bucket(name), async () => {
      made.push(name);
    });
  const settled = await Promise.allSettled([make("one"), make("bad"), make("two")]);
  expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect([made, catalog.lookUpAlias("one"), catalog.lookUpAlias("two")]).toEqual([
    ...[[], undefined, undefined],
  ]);
  await make("one");
  expect(made).toEqual(["one"]);
});

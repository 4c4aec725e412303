import { customerKeyset, keyset, newBytes, toHex, toUtf8 } from "@kiseki/base";
import { encodeEncryption, type EncryptionFacts } from "@kiseki/format";
import { expect, test } from "bun:test";
import {
  type Bed,
  bedWithNamespace,
  md5,
  namespaceA,
  noAttributes,
  testAddress,
  testDirKeys,
  testSeal,
} from "./bed.test-helper.ts";
import { checkMap } from "./check-map.test-helper.ts";
import { lookupChunk } from "./chunks.ts";
import { listEncryptions } from "./encryption.ts";
import { lookupObject } from "./lookup.ts";
import type { NewContent } from "./operation.ts";
import { hasReclaim } from "./reclaim.ts";
import { listDrops } from "./references.ts";

const facts = (set: number, n: number): EncryptionFacts => ({
  kind: "customer",
  keyset: keyset(set),
  checkSalt: newBytes(16).fill(n),
  check: newBytes(32).fill(n),
  sealedSalt: newBytes(60).fill(set),
});
const at = (name: string) => ({ namespace: namespaceA, key: toUtf8(name) });
/** Chunk number `n` under a customer's key. */
const sealed = (n: number): NewContent => ({
  kind: "extents",
  extents: [
    {
      ...{ ...testAddress(n), offset: 0, length: 100, chunkOffset: 0 },
      seal: { ...testSeal(n), keyset: customerKeyset },
    },
  ],
});
const smallSealed = (n: number): NewContent => ({
  kind: "small",
  ref: { ...testAddress(n), ...testSeal(n, 100), keyset: customerKeyset },
});
function putSealed(bed: Bed, name: string, content: NewContent, n: number) {
  const attributes = { ...noAttributes, encryption: encodeEncryption(facts(1, n)) };
  const etag = { md5: md5(toUtf8(name)), parts: 0 };
  return bed.decide({ kind: "put_object", ...at(name), content, size: 100, etag, attributes });
}
function begin(bed: Bed, name: string, n: number): Uint8Array {
  const attributes = { ...noAttributes, encryption: encodeEncryption(facts(1, n)) };
  const random = newBytes(16).fill(n);
  const answer = bed.decide({ kind: "create_upload", ...at(name), random, attributes });
  if (typeof answer === "string" || answer.kind !== "upload") throw new Error(String(answer));
  return answer.upload;
}
const factsOf = (bed: Bed, rowsMax = 1000) => {
  const found: EncryptionFacts[] = [];
  for (let after: Uint8Array | undefined; ;) {
    const page = listEncryptions(bed.map, after, rowsMax);
    found.push(...page.rows.map(({ facts: each }) => each));
    if (page.next === undefined) return found;
    after = page.next;
  }
};

test("listEncryptions() shows objects, old versions and uploads with facts, in pages of any size", () => {
  const bed = bedWithNamespace();
  bed.decide({ kind: "set_versioning", namespace: namespaceA, versioning: "enabled" });
  putSealed(bed, "a", sealed(1), 1);
  putSealed(bed, "a", smallSealed(2), 2);
  putSealed(bed, "b", { kind: "extents", extents: [] }, 3);
  begin(bed, "c", 4);
  for (let n = 10; n < 20; n++) {
    const etag = { md5: md5(toUtf8("plain")), parts: 0 };
    const content = { kind: "empty" } as const;
    bed.decide({
      ...{ kind: "put_object", ...at(`plain-${n}`), content, size: 0, etag },
      attributes: noAttributes,
    });
  }
  const all = factsOf(bed);
  expect(all.map((each) => (each.kind === "customer" ? each.checkSalt[0]! : 0)).toSorted()).toEqual(
    [1, 2, 3, 4],
  );
  for (const rowsMax of [1, 2, 3, 7]) expect(factsOf(bed, rowsMax)).toEqual(all);
});

test("encryption_resealed changes the facts that it was made for and no others", () => {
  const bed = bedWithNamespace();
  putSealed(bed, "a", sealed(1), 1);
  const upload = begin(bed, "c", 4);
  for (const { row, stored, facts: before } of listEncryptions(bed.map, undefined, 100).rows) {
    const n = before.kind === "customer" ? before.checkSalt[0]! : 0;
    const encryption = encodeEncryption(facts(2, n));
    const operation = { kind: "encryption_resealed", row, before: stored, encryption } as const;
    expect(bed.decide(operation)).toEqual({ kind: "none" });
    const { length } = bed.log;
    expect(bed.decide(operation)).toEqual({ kind: "none" }); // again: it is not what it was
    expect(bed.log.length).toBe(length);
  }
  expect(factsOf(bed).map((each) => each.kind === "customer" && Number(each.keyset))).toEqual([
    2, 2,
  ]);
  // The upload's facts are its object's, also when they moved in between.
  const content = sealed(5);
  const part = { kind: "put_part", ...at("c"), upload, part: 1, content, size: 100 } as const;
  bed.decide({ ...part, md5: md5(toUtf8("part")), checksums: [] });
  const [row] = listEncryptions(bed.map, undefined, 1).rows;
  const parts = [{ part: 1, etag: toHex(md5(toUtf8("part"))) }];
  bed.decide({ kind: "complete_upload", ...at("c"), upload, parts, checksums: [] });
  const late = { kind: "encryption_resealed", row: row!.row, before: row!.stored } as const;
  expect(bed.decide({ ...late, encryption: encodeEncryption(facts(3, 4)) })).toEqual({
    kind: "none",
  });
  const found = lookupObject(bed.map, testDirKeys, at("c"));
  if (found.kind !== "object") throw new Error(found.kind);
  expect(found.cold.attributes.encryption).toEqual(encodeEncryption(facts(2, 4)));
  checkMap(bed.map, testDirKeys);
});

test("chunks under a customer's key are counted, condemned and dropped as any, and never copied by reference", () => {
  const bed = bedWithNamespace();
  putSealed(bed, "a", sealed(1), 1);
  putSealed(bed, "b", smallSealed(2), 2);
  expect(lookupChunk(bed.map, testAddress(1))).toMatchObject({ count: 1, keyset: customerKeyset });
  for (const name of ["a", "b"]) {
    expect(bed.decide({ kind: "copy_object", ...at("copy"), source: at(name) })).toBe(
      "source_is_small",
    );
  }
  checkMap(bed.map, testDirKeys);
  for (const name of ["a", "b"]) bed.decide({ kind: "delete_object", ...at(name) });
  while (hasReclaim(bed.map, bed.now)) bed.decide({ kind: "reclaim_step" });
  const drops = listDrops(bed.map, (bed.now + 1) as never, 10);
  expect(drops.map(({ keyset: set }) => Number(set))).toEqual([0, 0]);
  bed.decide({ kind: "dropped", drops });
  expect(lookupChunk(bed.map, testAddress(1))).toBeUndefined();
  checkMap(bed.map, testDirKeys);
});

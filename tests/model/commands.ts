/** Random S3 calls as plain values, so that a failing sequence shrinks and prints as what it is. */
import fc from "fast-check";
import type { Versioning } from "./bucket-model.ts";

export type Command =
  /** `tag`: value of its one tag; empty: none. */
  | { readonly op: "put"; readonly key: string; readonly size: number; readonly tag: string }
  /** `If-None-Match: *`. */
  | { readonly op: "put_if_absent"; readonly key: string; readonly size: number }
  /** `If-Match` with the current ETag, or with another. */
  | {
      readonly op: "put_if_match";
      readonly key: string;
      readonly size: number;
      readonly isRight: boolean;
    }
  | {
      readonly op: "multipart";
      readonly key: string;
      readonly sizes: readonly number[];
      readonly tag: string;
      /** A version whose content is the last part, where there is one that can be. */
      readonly copied: { readonly key: string; readonly at: number } | undefined;
      readonly end: "complete" | "complete_if_absent" | "abort";
    }
  /** `isRight`: under `x-amz-copy-source-if-match`, with the source's ETag or with another. */
  | {
      readonly op: "copy";
      readonly from: string;
      readonly at: number;
      readonly to: string;
      readonly isRight: boolean | undefined;
    }
  | { readonly op: "delete"; readonly key: string }
  /** `If-Match` with the current ETag, or with another. */
  | { readonly op: "delete_if_match"; readonly key: string; readonly isRight: boolean }
  /** The `at`-th newest version, the last one when there are fewer. */
  | {
      readonly op: "delete_version";
      readonly key: string;
      readonly at: number;
      readonly isBypassing: boolean;
    }
  /** `at`: that version of the key. */
  | { readonly op: "delete_many"; readonly objects: readonly ManyObject[] }
  | {
      readonly op: "set_tag";
      readonly key: string;
      readonly at: number;
      /** Empty: takes it away. */
      readonly tag: string;
    }
  | { readonly op: "set_hold"; readonly key: string; readonly at: number; readonly isOn: boolean }
  /** Governance for a day. */
  | { readonly op: "retain"; readonly key: string; readonly at: number }
  | { readonly op: "set_versioning"; readonly versioning: Exclude<Versioning, "off"> }
  | { readonly op: "read"; readonly key: string }
  /** Under `If-Match` and `If-None-Match`, with the current ETag or with another. */
  | { readonly op: "read_if"; readonly key: string; readonly isRight: boolean }
  | { readonly op: "read_version"; readonly key: string; readonly at: number }
  | {
      readonly op: "list";
      readonly prefix: string;
      readonly delimiter: string;
      readonly page: number;
    }
  | { readonly op: "list_versions"; readonly page: number }
  /** The node is killed `afterMs` after `during` was sent, and started again. */
  | { readonly op: "crash"; readonly during: Command; readonly afterMs: number };

export interface ManyObject {
  readonly key: string;
  readonly at: number | undefined;
}

/** Few, so that they meet; directories, a tail, one in front of its own directory. */
const key = fc.constantFrom("a", "a/b", "a/b/c", "a/", "a.b", "a//b", "z", "dir/é", "dir/x/y");
/** Small content, one chunk, several segments. */
const size = fc.constantFrom(0, 1, 700, 4096, 4097, 70_000, 200_000);
const at = fc.nat({ max: 3 });
const tag = fc.constantFrom("", "", "blue", "a b+c=d");
const isRight = fc.boolean();

const writes = {
  put: fc.record({ op: fc.constant("put" as const), key, size, tag }),
  putIfAbsent: fc.record({ op: fc.constant("put_if_absent" as const), key, size }),
  putIfMatch: fc.record({ op: fc.constant("put_if_match" as const), key, size, isRight }),
  multipart: fc.record({
    op: fc.constant("multipart" as const),
    key,
    sizes: fc.oneof(
      { weight: 9, arbitrary: size.map((last) => [last]) },
      { weight: 1, arbitrary: size.map((last) => [5 * 1024 * 1024, last]) },
    ),
    tag,
    copied: fc.option(fc.record({ key, at }), { nil: undefined }),
    end: fc.constantFrom("complete", "complete", "complete", "complete_if_absent", "abort"),
  }),
  copy: fc.record({
    op: fc.constant("copy" as const),
    from: key,
    at,
    to: key,
    isRight: fc.constantFrom(undefined, undefined, true, false),
  }),
  delete: fc.record({ op: fc.constant("delete" as const), key }),
  deleteIfMatch: fc.record({ op: fc.constant("delete_if_match" as const), key, isRight }),
  deleteVersion: fc.record({
    op: fc.constant("delete_version" as const),
    key,
    at,
    isBypassing: fc.boolean(),
  }),
  deleteMany: fc.record({
    op: fc.constant("delete_many" as const),
    objects: fc.uniqueArray(fc.record({ key, at: fc.option(at, { nil: undefined }) }), {
      minLength: 1,
      maxLength: 4,
      selector: (object) => object.key,
    }),
  }),
  setTag: fc.record({ op: fc.constant("set_tag" as const), key, at, tag }),
  setHold: fc.record({ op: fc.constant("set_hold" as const), key, at, isOn: fc.boolean() }),
  retain: fc.record({ op: fc.constant("retain" as const), key, at }),
  setVersioning: fc.record({
    op: fc.constant("set_versioning" as const),
    versioning: fc.constantFrom("enabled" as const, "suspended" as const),
  }),
};
const write: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: writes.put },
  { weight: 2, arbitrary: writes.putIfAbsent },
  { weight: 2, arbitrary: writes.putIfMatch },
  { weight: 3, arbitrary: writes.multipart },
  { weight: 4, arbitrary: writes.copy },
  { weight: 4, arbitrary: writes.delete },
  { weight: 2, arbitrary: writes.deleteIfMatch },
  { weight: 4, arbitrary: writes.deleteVersion },
  { weight: 2, arbitrary: writes.setTag },
  { weight: 2, arbitrary: writes.setHold },
  { weight: 2, arbitrary: writes.retain },
  { weight: 1, arbitrary: writes.deleteMany },
  { weight: 2, arbitrary: writes.setVersioning },
);
const read: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ op: fc.constant("read" as const), key }),
  fc.record({ op: fc.constant("read_if" as const), key, isRight }),
  fc.record({ op: fc.constant("read_version" as const), key, at }),
  fc.record({
    op: fc.constant("list" as const),
    prefix: fc.constantFrom("", "a", "a/", "a/b", "dir/"),
    delimiter: fc.constantFrom("", "/", "b"),
    page: fc.constantFrom(1, 2, 1000),
  }),
  fc.record({ op: fc.constant("list_versions" as const), page: fc.constantFrom(1, 2, 1000) }),
);
const crash: fc.Arbitrary<Command> = fc.record({
  op: fc.constant("crash" as const),
  during: write,
  afterMs: fc.nat({ max: 12 }),
});

export const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.oneof(
    { weight: 30, arbitrary: write },
    { weight: 12, arbitrary: read },
    { weight: 1, arbitrary: crash },
  ),
  { minLength: 1, maxLength: 60, size: "max" },
);

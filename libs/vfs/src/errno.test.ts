import { expect, test } from "bun:test";

import type {
  Absent,
  AllocatedRange,
  Answered,
  Applied,
  AttributeChanges,
  Attributes,
  Caller,
  Change,
  ContentStore,
  CopyRange,
  DirectoryEntry,
  Entry,
  Eventually,
  FileAttributes,
  FileKind,
  FileLock,
  FileOperation,
  FilePage,
  FileRef,
  FileRefusal,
  FileRefusalCode,
  FileService,
  FileServiceListener,
  FileSystem,
  FileSystemStatistics,
  HandleNumber,
  Invalidation,
  KernelCache,
  ListedEntry,
  LockAnswer,
  NameRef,
  NewNode,
  NodeAttributes,
  NodeNumber,
  Opened,
  OpenFlags,
  Outcome,
  PlacedContent,
  PlanPiece,
  ReadPlan,
  RenameMode,
  ServiceRefusalCode,
  StoredContent,
  XattrMode,
} from "./index.ts";
import { errno, Failure, fail, failureOf, isFailure, pieceSizeMax, rootNode } from "./index.ts";

/** What others are promised by name. */
interface Surface {
  service: [FileService, FileServiceListener, Answered<Applied>, FileOperation, FileRefusal];
  values: [FileAttributes, FileKind, FileLock, FilePage, FileRef, NameRef, NewNode, ListedEntry];
  content: [ContentStore, StoredContent, PlacedContent, PlanPiece, ReadPlan, AllocatedRange];
  changes: [AttributeChanges, Change, RenameMode, XattrMode, CopyRange, LockAnswer, Invalidation];
  system: [FileSystem, KernelCache, Caller, Opened, OpenFlags, Outcome<Entry | Absent>];
  answers: [Attributes, NodeAttributes, NodeNumber, HandleNumber, DirectoryEntry];
  rest: [Eventually<FileSystemStatistics>, ServiceRefusalCode, FileRefusalCode];
}

test("failureOf() gives each refusal the errno of spec §7.4", () => {
  const cases: readonly (readonly [FileRefusalCode, keyof typeof errno])[] = [
    ["no_such_key", "ENOENT"],
    ["namespace_read_only", "EROFS"],
    ["object_locked", "EPERM"],
    ["quota_exceeded", "EDQUOT"],
    ["no_space", "ENOSPC"],
    ["unreachable", "EIO"],
    ["busy", "EAGAIN"],
    ["stale", "ESTALE"],
    ["no_data", "ENXIO"],
  ];
  for (const [code, name] of cases) expect(failureOf(code)).toBe(fail(name));
  expect(failureOf("no_such_key")).toBeInstanceOf(Failure);
  expect(failureOf("no_such_key").errno).toBe(errno.ENOENT);
});

test("isFailure() tells an error from an answer", () => {
  const surface: Partial<Surface> = {};
  expect(isFailure(surface)).toBe(false);
  expect(isFailure(fail("EIO"))).toBe(true);
  expect([rootNode, pieceSizeMax]).toEqual([1, 4 << 20]);
});

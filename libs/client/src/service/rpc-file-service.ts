import { inodeId, type InodeId, newBytes, type Prng } from "@kiseki/base";
import type { FailureMessage, FileResult } from "@kiseki/rpc";
import type {
  Answered,
  Applied,
  FileAttributes,
  FileLock,
  FileOperation,
  FilePage,
  FileRef,
  FileRefusal,
  FileService,
  FileServiceListener,
  FileSystemStatistics,
  ListedEntry,
  LockAnswer,
  NameRef,
  ReadPlan,
} from "@kiseki/vfs";
import { type Verdict, verdictOfFailure } from "../retry/fates.ts";
import { refused } from "../retry/persist.ts";
import { Applier } from "./applier.ts";
import type { Act, Asking } from "./asking.ts";
import { goneAttributes, lockMessage, readAttributes, readLock, refMessage } from "./attributes.ts";
import { type OperationKind, operationKind } from "./operation-message.ts";
import { readPlan } from "./read-plan.ts";
import type { Session, Sessions } from "./sessions.ts";

/** A node lists no more at once. */
const listCountMax = 1024;
/** Of one plan; a node takes more. */
const planLengthMax = 2 ** 40;
const otherSession: Verdict = { fate: "give_up", code: "session_expired" };
const invalid = refused("invalid");

interface Answer {
  readonly failure?: FailureMessage | undefined;
}
interface Ports {
  readonly asking: Asking;
  readonly sessions: Sessions;
  readonly prng: Prng;
}

/** `FileService` over RPC. */
export class RpcFileService implements FileService {
  readonly root: FileRef;
  readonly #ports: Ports;
  readonly #namespace: Uint8Array;
  readonly #applier: Applier;
  readonly #listeners: FileServiceListener[] = [];

  constructor(ports: Ports, namespace: { readonly id: Uint8Array; readonly root: bigint }) {
    this.#ports = ports;
    this.#namespace = namespace.id;
    this.root = { home: 0n, inode: inodeId(namespace.root) };
    this.#applier = new Applier(ports.asking, namespace.id);
  }

  listen(listener: FileServiceListener): void {
    this.#listeners.push(listener);
  }
  /** For those who bring the news. */
  get listeners(): readonly FileServiceListener[] {
    return this.#listeners;
  }

  async apply(operation: FileOperation): Answered<Applied> {
    const kind = operationKind(operation);
    if (kind === undefined) return invalid;
    const ended = await this.#change(kind);
    if (ended.kind === "refused") return ended;
    return readApplied(operation, ended.value) ?? invalid;
  }

  /**
   * Under one id and one session, however often it is sent: the node does it once. What was begun in a session that is over
   * is not done in the next, because others may hold its locks by then.
   */
  #change(
    kind: OperationKind,
  ): Promise<{ readonly kind: "done"; readonly value: FileResult } | FileRefusal> {
    const { asking, sessions, prng } = this.#ports;
    const operation = { operationId: prng.fill(newBytes(16)), kind };
    const size = sizeOf(kind);
    let bound = sessions.number;
    return asking.persist(async (_last, leftMs) => {
      const session = await asking.session(leftMs);
      if (session.kind === "failed") return session;
      bound ??= session.value.number;
      if (bound !== session.value.number) return { kind: "failed", verdict: otherSession };
      const ended = await this.#applier.apply(session.value, operation, size, leftMs);
      asking.hear(session.value, ended);
      return ended;
    });
  }

  #ask<T extends Answer>(
    act: (...words: Parameters<Act<T>>) => Promise<T>,
  ): Promise<{ readonly kind: "done"; readonly value: T } | FileRefusal> {
    return this.#ports.asking.ask(act);
  }
  #of(session: Session) {
    return { session: session.id, namespace: this.#namespace };
  }

  async lookup(name: NameRef): Answered<FileAttributes> {
    const kept = { parent: name.parent, name: Uint8Array.from(name.name) };
    const answer = await this.#ask((client, session, options) =>
      client.files.lookup({ ...this.#of(session), ...kept }, options),
    );
    if (answer.kind === "refused") return answer;
    return readAttributes(answer.value.attributes, kept) ?? invalid;
  }

  async attributes(file: FileRef): Answered<FileAttributes> {
    const answer = await this.#ask((client, session, options) =>
      client.files.getAttributes({ ...this.#of(session), file: refMessage(file) }, options),
    );
    if (answer.kind === "refused") return answer;
    const found = readAttributes(answer.value.attributes);
    return found ? { ...found, ref: withHint(found.ref, file) } : invalid;
  }

  async list(
    directory: InodeId,
    cookie: Uint8Array | undefined,
    countMax: number,
  ): Answered<FilePage> {
    const answer = await this.#ask((client, session, options) =>
      client.files.listDirectory(
        {
          ...this.#of(session),
          directory,
          cookie: cookie ?? newBytes(0),
          countMax: Math.min(countMax, listCountMax),
          withAttributes: true,
        },
        options,
      ),
    );
    if (answer.kind === "refused") return answer;
    const entries: ListedEntry[] = [];
    for (const { name, cookie: after, attributes } of answer.value.entries) {
      const own = Uint8Array.from(name);
      const read = readAttributes(attributes, { parent: directory, name: own });
      if (read === undefined) return invalid;
      entries.push({ name: own, attributes: read, cookie: Uint8Array.from(after) });
    }
    const { isEnd, next } = answer.value;
    return { kind: "page", entries, next: isEnd ? undefined : Uint8Array.from(next) };
  }

  async readlink(file: FileRef): Answered<{ kind: "target"; target: Uint8Array }> {
    const answer = await this.#ask((client, session, options) =>
      client.files.readLink({ ...this.#of(session), file: refMessage(file) }, options),
    );
    if (answer.kind === "refused") return answer;
    return { kind: "target", target: Uint8Array.from(answer.value.target) };
  }

  async getXattr(file: FileRef, name: Uint8Array): Answered<{ kind: "value"; value: Uint8Array }> {
    const request = { file: refMessage(file), name: Uint8Array.from(name) };
    const answer = await this.#ask((client, session, options) =>
      client.files.getXattr({ ...this.#of(session), ...request }, options),
    );
    if (answer.kind === "refused") return answer;
    return { kind: "value", value: Uint8Array.from(answer.value.value) };
  }

  async listXattrs(file: FileRef): Answered<{ kind: "names"; names: readonly Uint8Array[] }> {
    const answer = await this.#ask((client, session, options) =>
      client.files.listXattrs({ ...this.#of(session), file: refMessage(file) }, options),
    );
    if (answer.kind === "refused") return answer;
    return { kind: "names", names: answer.value.names.map((name) => Uint8Array.from(name)) };
  }

  async statistics(): Answered<FileSystemStatistics> {
    const answer = await this.#ask((client, session, options) =>
      client.files.getStatistics(this.#of(session), options),
    );
    if (answer.kind === "refused") return answer;
    const { totalBytes, freeBytes, availableBytes, files, filesFree } = answer.value;
    return {
      kind: "statistics",
      bytesTotal: Number(totalBytes),
      bytesFree: Number(freeBytes),
      bytesAvailable: Number(availableBytes),
      filesTotal: Number(files),
      filesFree: Number(filesFree),
    };
  }

  async plan(file: FileRef, start: number, end: number): Answered<ReadPlan> {
    const length = BigInt(Math.min(planLengthMax, Math.max(1, end - start)));
    const request = { file: refMessage(file), offset: BigInt(start), length };
    const answer = await this.#ask((client, session, options) =>
      client.files.planRead({ ...this.#of(session), ...request }, options),
    );
    if (answer.kind === "refused") return answer;
    const again = (offset: number): Answered<ReadPlan> => this.plan(file, offset, offset + 1);
    return readPlan(answer.value, start, again) ?? invalid;
  }

  /** Of each file from its beginning on: of the first ones, at least of one. See `PlanFiles` of the protocol. */
  async planFiles(
    files: readonly FileRef[],
  ): Answered<{ readonly kind: "plans"; readonly plans: readonly (ReadPlan | FileRefusal)[] }> {
    const request = { files: files.map(refMessage) };
    const answer = await this.#ask((client, session, options) =>
      client.files.planFiles({ ...this.#of(session), ...request }, options),
    );
    if (answer.kind === "refused") return answer;
    const found = answer.value.plans;
    if (found.length < 1 || found.length > files.length) return invalid;
    const plans = found.map((plan, index) => {
      if (plan.failure !== undefined) return refused(verdictOfFailure(plan.failure.code).code);
      const file = files[index]!;
      const again = (offset: number): Answered<ReadPlan> => this.plan(file, offset, offset + 1);
      return readPlan(plan, 0, again) ?? invalid;
    });
    return { kind: "plans", plans };
  }

  async seek(
    file: FileRef,
    offset: number,
    what: "data" | "hole",
  ): Answered<{ kind: "at"; offset: number }> {
    const request = {
      file: refMessage(file),
      offset: BigInt(offset),
      isForHole: what === "hole",
    };
    const answer = await this.#ask((client, session, options) =>
      client.files.seek({ ...this.#of(session), ...request }, options),
    );
    return answer.kind === "refused" ? answer : { kind: "at", offset: Number(answer.value.offset) };
  }

  async lock(file: FileRef, lock: FileLock): Answered<LockAnswer> {
    const value = { file: refMessage(file), lock: lockMessage(lock) };
    const ended = await this.#change({ case: "takeLock", value });
    // A node need not say by whom: then it is somebody with the like of it.
    if (ended.kind === "refused")
      return ended.code === "lock_conflict" ? { kind: "held", by: lock } : ended;
    const { failure, conflict } = ended.value;
    if (failure === undefined) return { kind: "granted" };
    return conflict ? { kind: "held", by: readLock(conflict) } : invalid;
  }

  async testLock(file: FileRef, lock: FileLock): Answered<LockAnswer> {
    const request = { file: refMessage(file), lock: lockMessage(lock) };
    const answer = await this.#ask((client, session, options) =>
      client.files.testLock({ ...this.#of(session), ...request }, options),
    );
    if (answer.kind === "refused") return answer;
    const { conflict } = answer.value;
    return conflict ? { kind: "held", by: readLock(conflict) } : { kind: "granted" };
  }

  async unlock(file: FileRef, lock: Omit<FileLock, "type">): Answered<{ kind: "unlocked" }> {
    const value = { file: refMessage(file), lock: lockMessage(lock) };
    const ended = await this.#change({ case: "dropLock", value });
    return ended.kind === "refused" ? ended : { kind: "unlocked" };
  }
}

/** What operations have beside names and numbers. */
function sizeOf(kind: OperationKind): number {
  switch (kind.case) {
    case "setXattr":
      return 1024 + (kind.value.value?.byteLength ?? 0);
    case "write":
    case "append":
      return 1024 + (kind.value.content?.receipts?.length ?? 0) * 256;
    case "create":
      return 1024 + (kind.value.target?.byteLength ?? 0);
    default:
      return 1024;
  }
}

/** By which name the file of an operation is known afterwards. */
function nameOf(operation: FileOperation): NameRef | undefined {
  if (operation.kind === "rename") return operation.target;
  return operation.kind === "create" || operation.kind === "link" ? operation : undefined;
}
const withHint = (found: FileRef, asked: FileRef): FileRef =>
  asked.hint ? { ...found, hint: asked.hint } : found;

/** Of what ends a file or a name the node may have nothing more to say. */
function readApplied(operation: FileOperation, result: FileResult): Applied | undefined {
  const name = nameOf(operation);
  const own = name && { parent: name.parent, name: Uint8Array.from(name.name) };
  const file = "file" in operation ? operation.file : undefined;
  const found = readAttributes(result.attributes, own);
  const isEnding = ["release", "unlink", "remove_directory"].includes(operation.kind);
  if (found === undefined && (result.attributes !== undefined || !isEnding)) return undefined;
  const attributes = found ?? goneAttributes(file ?? { home: 0n, inode: inodeId(1n) });
  const directories: FileAttributes[] = [];
  for (const message of result.directories) {
    const directory = readAttributes(message);
    if (directory === undefined) return undefined;
    directories.push(directory);
  }
  return {
    kind: "applied",
    attributes: file && found ? { ...attributes, ref: withHint(found.ref, file) } : attributes,
    directories,
    ...(operation.kind === "append" ? { offset: Number(result.offset) } : {}),
    ...(operation.kind === "copy_range" ? { length: Number(result.length) } : {}),
  };
}

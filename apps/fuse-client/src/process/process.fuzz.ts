/**
 * Fuzz targets: what a program says to its client process, in whatever pieces it comes. Frames are read the same however
 * they are cut, and memory is taken for bodies of an allowed size alone; every request that keeps to the frame is answered
 * once; what breaks it ends its own connection and no other; and nothing of a connection that has ended stays in memory.
 */
import { drainMicrotasks } from "bun:jsc";
import { newBytes, type Prng } from "@kiseki/base";
import { type FuzzTarget, must, mutateBytes, pick } from "@kiseki/base/contract";
import { CacheCounters } from "../cache-counters.ts";
import { MemoryFileSystem } from "../serve/memory-file-system.test-helper.ts";
import {
  ByteBudget,
  type Call,
  type CallTable,
  ClientConnection,
  tokenSize,
} from "./connection.ts";
import { FileCalls } from "./file-calls.ts";
import {
  answerKinds,
  bodySizeMax,
  FieldWriter,
  type Frame,
  FrameReader,
  headerSize,
  ProtocolError,
  protocolVersion,
  type VerbName,
  verbs,
} from "./frame.ts";

const token = newBytes(tokenSize).fill(7);
const budgetSize = 16 * 1024 * 1024;
const paths = [
  "/",
  "/d",
  "/d/f",
  "d//./f",
  "/link",
  "/loop",
  "/d/../f",
  "/ü",
  "/a\0b",
  "x/".repeat(200),
];

/** Cuts `bytes` into up to four pieces. */
function pieces(prng: Prng, bytes: Uint8Array): Uint8Array[] {
  const cuts = Array.from({ length: prng.below(4) }, () => prng.below(bytes.byteLength + 1));
  const ends = [...cuts, bytes.byteLength].toSorted((a, b) => a - b);
  return ends.map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1]!, end));
}

/** Frames of `source`, as `reader` finds them; `undefined` at the end: the frame was broken. */
function framesOf(reader: FrameReader, source: readonly Uint8Array[]): (Frame | undefined)[] {
  const found: (Frame | undefined)[] = [];
  try {
    for (const piece of source)
      for (let at = 0; ;) {
        const taken = reader.next(piece, at);
        if (taken === undefined) break;
        must(taken.end > at && taken.end <= piece.byteLength, "a frame ends in what came");
        at = taken.end;
        found.push(taken.frame);
      }
  } catch (reason) {
    if (!(reason instanceof ProtocolError)) throw reason;
    found.push(undefined);
  }
  return found;
}

const path = (prng: Prng, fields = new FieldWriter()): FieldWriter =>
  fields.text(pick(prng, paths));
const number = (prng: Prng): number =>
  pick(prng, [0, 1, 2, 3, 4096, 2 ** 32 - 1, 2 ** 53 - 1, 2 ** 53, 2 ** 63]);
const handle = (prng: Prng): FieldWriter => new FieldWriter().u64(prng.below(4));
const data = (prng: Prng, fields: FieldWriter): FieldWriter => {
  const bytes = prng.fill(newBytes(prng.below(200)));
  return fields.u32(bytes.byteLength).bytes(bytes);
};
/** Fields of each call, as a program that means well puts them. */
const samples: Readonly<Partial<Record<VerbName, (prng: Prng) => FieldWriter>>> = {
  hello: () => new FieldWriter().u16(protocolVersion).bytes(token),
  open: (prng) => path(prng, new FieldWriter().u16(prng.below(128)).u32(0o644)),
  closeHandle: handle,
  read: (prng) => handle(prng).u64(number(prng)).u32(prng.below(5000)),
  write: (prng) => data(prng, handle(prng).u64(prng.below(5000))),
  fsync: (prng) => handle(prng).u16(prng.below(3)),
  truncate: (prng) => handle(prng).u64(prng.below(5000)),
  attributes: handle,
  openDirectory: (prng) => path(prng),
  readDirectory: (prng) => handle(prng).u64(number(prng)),
  stat: (prng) => path(prng, new FieldWriter().u16(prng.below(2))),
  makeDirectory: (prng) => path(prng, new FieldWriter().u32(0o755)),
  unlink: (prng) => path(prng),
  removeDirectory: (prng) => path(prng),
  rename: (prng) => path(prng, path(prng, new FieldWriter().u16(prng.below(4)))),
  readLink: (prng) => path(prng),
  makeSymlink: (prng) => path(prng, path(prng)),
  change: (prng) => {
    const fields = new FieldWriter().u16(prng.below(64)).u16(prng.below(2));
    const ids = fields.u32(0o600).u32(prng.below(9)).u32(prng.below(9));
    return path(
      prng,
      ids
        .u64(prng.below(5000))
        .i64(-1n)
        .i64(2n ** 62n),
    );
  },
  fileSystem: () => new FieldWriter(),
  readFile: (prng) => path(prng, new FieldWriter().u64(number(prng)).u32(prng.below(5000))),
  writeFile: (prng) => {
    const fields = new FieldWriter().u16(prng.below(128)).u32(0o644).u64(prng.below(5000));
    return data(prng, path(prng, fields));
  },
};
const names = Object.keys(samples) as VerbName[];

function request(prng: Prng, name: VerbName, id: number): Uint8Array {
  const frame = samples[name]!(prng).frame(id, verbs[name], 0);
  if (!prng.chance(1, 3)) return frame;
  const broken = mutateBytes(prng, frame);
  // Mostly the frame fits, so that the fields are looked at.
  if (broken.byteLength >= headerSize && prng.chance(3, 4))
    new DataView(broken.buffer).setUint32(0, broken.byteLength - 4, true);
  return broken;
}
function stream(prng: Prng): Uint8Array {
  const frames: Uint8Array[] = [];
  if (!prng.chance(1, 20)) frames.push(samples.hello!(prng).frame(0, verbs.hello, 0));
  const count = 1 + prng.below(8);
  for (let id = 1; id <= count; id += 1) frames.push(request(prng, pick(prng, names), id));
  return Uint8Array.from(frames.flatMap((frame) => [...frame]));
}

const frames: FuzzTarget = {
  name: "client-frame",
  run(prng, note) {
    const source = stream(prng);
    note(source);
    const sizeMax = prng.below(400);
    const whole = framesOf(new FrameReader(sizeMax), [source]);
    const cut = framesOf(new FrameReader(sizeMax), pieces(prng, source));
    must(Bun.deepEquals(whole, cut), "a frame is the same however it came");
    for (const frame of whole)
      must((frame?.body.byteLength ?? 0) <= sizeMax, "memory is taken for what is allowed");
    return whole.at(-1) === undefined && whole.length > 0 ? "broken" : "frames";
  },
};

/** A connection whose other end takes all that it is given. */
class Line {
  readonly connection: ClientConnection;
  readonly said: Uint8Array[] = [];
  isEnded = false;
  isPaused = false;
  constructor(calls: CallTable, budget: ByteBudget) {
    const wire = {
      write: (bytes: Uint8Array) => {
        this.said.push(bytes.slice());
        return bytes.byteLength;
      },
      pause: () => void (this.isPaused = true),
      resume: () => void (this.isPaused = false),
      end: () => void (this.isEnded = true),
    };
    this.connection = new ClientConnection(wire, calls, budget, token);
  }
  receive(bytes: Uint8Array): void {
    this.connection.received(bytes);
    drainMicrotasks();
  }
  answers(): Frame[] {
    const found = framesOf(new FrameReader(bodySizeMax), this.said);
    must(!found.includes(undefined), "an answer is a frame");
    return found as Frame[];
  }
}

function tableOf(calls: FileCalls): CallTable {
  const table = new Map<number, Call>();
  for (const [name, call] of Object.entries(calls.calls))
    table.set(verbs[name as VerbName], (fields, { handles }) => call(fields, handles));
  return table;
}

const processes: FuzzTarget = {
  name: "client-process",
  run(prng, note) {
    const source = stream(prng);
    note(source);
    const files = new FileCalls(
      new MemoryFileSystem({ ttlMs: 0, isLate: false }),
      prng.chance(1, 8),
      new CacheCounters(false),
    );
    const budget = new ByteBudget(budgetSize);
    const [line, other] = [0, 1].map(() => new Line(tableOf(files), budget)) as [Line, Line];
    for (const piece of pieces(prng, source)) line.receive(piece.slice());
    const asked = framesOf(new FrameReader(bodySizeMax), [source]);
    const [first] = asked;
    const isKnown =
      first !== undefined && first.kind === verbs.hello && first.body.byteLength === 34;
    const answers = line.answers();
    if (!isKnown) must(answers.length === 0, "nobody is answered before hello");
    must(new Set(answers.map(({ id }) => id)).size <= asked.length, "answers are of requests");
    must(
      answers.every(({ kind }) => kind === answerKinds.done),
      "these calls only end",
    );
    if (!line.isEnded && isKnown) {
      must(answers.length === asked.length, "each request is answered once");
      must(!line.isPaused, "who keeps to the rules is listened to");
    }
    other.receive(samples.hello!(prng).frame(1, verbs.hello, 0));
    other.receive(new FieldWriter().u16(1).text("/").frame(2, verbs.stat, 0));
    must(other.answers().length === 2, "another connection goes on");
    for (const each of [line, other])
      void each.connection.closed().then(() => files.closeAll(each.connection.handles));
    drainMicrotasks();
    must(line.connection.handles.count === 0, "what was open is closed");
    must(budget.take(budgetSize) === undefined, "nothing of it stays in memory");
    return line.isEnded ? "ended" : "answered";
  },
};

export const processTargets: readonly FuzzTarget[] = [frames, processes];

import { expect } from "bun:test";
import { inodeId, newBytes } from "@kiseki/base";
import { openDatapath } from "@kiseki/datapath";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "@kiseki/host";
import type { Crypto, Datapath } from "@kiseki/ports";
import type { FileRef, FileRefusal, StoredContent } from "@kiseki/vfs";
import {
  type Client,
  type ClientFault,
  type ClientOptions,
  type ClientPorts,
  type Identity,
  openClient,
} from "./index.ts";
import { type TestNode, token } from "./test-node.test-helper.ts";

export const crypto: Crypto = openCrypto();
/** The file of a `TestNode`. */
export const file: FileRef = { home: 1n, inode: inodeId(2n) };

/** As a client process opens it: no devices. Whatever went wrong, all memory has come back when it is disposed of. */
export function openArena(): Datapath {
  const sizes = { arenaSize: 48 << 20, computeThreads: 1, deviceThreads: 1 };
  const datapath = openDatapath({ directory: nativeDirectory, ...sizes });
  const dispose = datapath[Symbol.asyncDispose].bind(datapath);
  datapath[Symbol.asyncDispose] = async () => {
    expect(datapath.arena.sizeLent).toBe(0);
    await dispose();
  };
  return datapath;
}

export function tryAt(
  datapath: Datapath,
  node: TestNode,
  change: Partial<ClientOptions>,
  ports: Partial<ClientPorts> = {},
): Promise<({ readonly kind: "opened" } & Client) | ClientFault> {
  const identity: Identity = { authority: node.certificate, token };
  return openClient(
    { clock: systemClock, prng: systemPrng, crypto, datapath, ...ports },
    {
      seeds: `127.0.0.1:${node.rpcPort}`,
      tenant: "",
      namespace: "data",
      hostName: "test",
      identity,
      deadlineMs: 5_000,
      ...change,
    },
  );
}

export async function openAt(
  datapath: Datapath,
  node: TestNode,
  change: Partial<ClientOptions> = {},
  ports: Partial<ClientPorts> = {},
): Promise<Client & AsyncDisposable> {
  const opened = await tryAt(datapath, node, change, ports);
  if (opened.kind === "refused") throw new Error(`${opened.code}: ${opened.message}`);
  return { ...opened, [Symbol.asyncDispose]: () => opened.close() };
}
export const isStored = (answer: StoredContent | FileRefusal): answer is StoredContent =>
  "length" in answer;

export async function writeFile(client: Client, source: Uint8Array, offset = 0): Promise<void> {
  const content = await client.content.write(file, source);
  if (!isStored(content)) throw new Error(content.code);
  const pieces = [{ offset, content }];
  const applied = await client.files.apply({ kind: "write", file, pieces });
  expect(applied.kind).toBe("applied");
}
export async function readFile(client: Client, start: number, end: number): Promise<Uint8Array> {
  const plan = await client.files.plan(file, start, end);
  if (plan.kind === "refused") throw new Error(plan.code);
  const target = newBytes(end - start);
  for (const piece of plan.pieces) {
    if (piece.kind === "hole" || piece.offset + piece.length <= start) continue;
    const from = Math.max(start, piece.offset);
    const to = Math.min(end, piece.offset + piece.length);
    const into = target.subarray(from - start, to - start);
    const read = await client.content.read(piece, from - piece.offset, into);
    if (read.kind === "refused") throw new Error(read.code);
  }
  return target;
}

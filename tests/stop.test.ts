/** SIGTERM to a built node: what is in flight is finished, nothing new is taken, and the process ends well. */
import { connect } from "node:net";
import { expect, test } from "bun:test";
import { NodeProcess, until } from "./support/node-process.ts";
import { content, digest, S3Client } from "./support/s3-client.ts";

const MiB = 1024 * 1024;

/** Resolves with whether somebody listens at `port`. */
const listens = async (port: number): Promise<boolean> => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, "127.0.0.1");
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  const answer = await promise;
  socket.destroy();
  return answer;
};

test("a node that is stopped finishes an upload that is under way, and takes no more", async () => {
  await using node = await NodeProcess.started({ devices: 1, mirrors: 0 });
  const body = content("upload", 6 * MiB);
  const half = body.byteLength / 2;
  let received = "";
  {
    using client = await S3Client.of(node);
    await client.createBucket("stop");
    const { target, headers } = client.sign("PUT", "stop", "key", { body });
    const lines = Object.entries({ ...headers, expect: "100-continue" })
      .filter(([name]) => name.toLowerCase() !== "content-length")
      .map(([name, value]) => `${name}: ${value}\r\n`);
    const head = `PUT ${target} HTTP/1.1\r\n${lines.join("")}content-length: ${body.byteLength}\r\n\r\n`;
    const socket = connect(node.s3Port, "127.0.0.1");
    socket.on("error", () => undefined); // what was not answered shows below
    socket.setEncoding("latin1").on("data", (text: string) => (received += text));
    socket.write(head);
    await until("the body is asked for", () => received.includes("100 Continue"));
    socket.write(body.subarray(0, half));
    const stopping = node.stop();
    await until("nobody listens any more", async () => !(await listens(node.s3Port)));
    socket.write(body.subarray(half));
    await until("the upload is answered", () => /HTTP\/1\.1 (?!100)\d/.test(received));
    expect(received).toContain("HTTP/1.1 200 ");
    expect(await stopping).toEqual({ code: 0, signal: null });
    socket.destroy();
  }
  await node.start();
  using client = await S3Client.of(node);
  expect(digest((await client.get("stop", "key"))!)).toBe(digest(body));
}, 20_000);

import { connect, type Socket } from "node:net";

/** One answer, body and all. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface RawRequest {
  readonly method: string;
  /** As it goes on the wire: nobody normalises it. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

/** The connection went before the answer was whole: what became of the request is not known. */
export class BrokenConnectionError extends Error {
  override readonly name = "BrokenConnectionError";
}

const headEnd = Buffer.from("\r\n\r\n");

/** One keep-alive connection that carries one request at a time. */
class Connection {
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #pieces: Buffer[] = [];
  #wake: () => void = () => undefined;
  isBroken = false;

  constructor(port: number) {
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket.on("data", (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#wake();
    });
    for (const event of ["close", "error", "end"]) {
      this.#socket.on(event, () => {
        this.isBroken = true;
        this.#wake();
      });
    }
  }

  async exchange({ method, target, headers, body }: RawRequest): Promise<RawAnswer> {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    this.#socket.write(`${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1");
    if (body && body.byteLength > 0) this.#socket.write(body);
    for (;;) {
      const head = await this.#readHead();
      if (head.status === 100) continue;
      const bodiless = method === "HEAD" || head.status === 204 || head.status === 304;
      const answer = { ...head, body: bodiless ? new Uint8Array() : await this.#readBody(head) };
      if (head.headers.get("connection") === "close") this.close();
      return answer;
    }
  }

  close(): void {
    this.isBroken = true;
    this.#socket.destroy();
  }

  async #more(): Promise<void> {
    while (this.#pieces.length === 0) {
      if (this.isBroken) throw new BrokenConnectionError("The connection broke");
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    this.#received = Buffer.concat([this.#received, ...this.#pieces]);
    this.#pieces = [];
  }

  async #readHead(): Promise<Pick<RawAnswer, "status" | "headers">> {
    let end = this.#received.indexOf(headEnd);
    while (end < 0) {
      await this.#more();
      end = this.#received.indexOf(headEnd);
    }
    const [first = "", ...fields] = this.#received
      .subarray(0, end)
      .toString("latin1")
      .split("\r\n");
    this.#received = this.#received.subarray(end + headEnd.byteLength);
    const headers = new Map<string, string>();
    for (const field of fields) {
      const colon = field.indexOf(":");
      headers.set(field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim());
    }
    return { status: Number(first.split(" ")[1]), headers };
  }

  async #take(size: number): Promise<Buffer> {
    const parts = [this.#received];
    let have = this.#received.byteLength;
    while (have < size) {
      this.#received = Buffer.alloc(0);
      await this.#more();
      parts.push(this.#received);
      have += this.#received.byteLength;
    }
    const whole = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    this.#received = whole.subarray(size);
    return whole.subarray(0, size);
  }

  async #readBody({ headers }: Pick<RawAnswer, "headers">): Promise<Uint8Array<ArrayBuffer>> {
    if (headers.get("transfer-encoding") !== "chunked") {
      return new Uint8Array(await this.#take(Number(headers.get("content-length") ?? 0)));
    }
    const chunks: Uint8Array[] = [];
    for (;;) {
      let line = "";
      while (!line.endsWith("\r\n")) line += (await this.#take(1)).toString("latin1");
      const size = Number.parseInt(line, 16);
      chunks.push(new Uint8Array(await this.#take(size)));
      await this.#take(2);
      if (size === 0) return new Uint8Array(Buffer.concat(chunks));
    }
  }
}

/** Keep-alive connections to one port, as many as requests are in flight. */
export class RawHttp implements Disposable {
  readonly #port: number;
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();

  constructor(port: number) {
    this.#port = port;
  }

  /** @throws {BrokenConnectionError} */
  async exchange(request: RawRequest): Promise<RawAnswer> {
    let connection = this.#idle.pop();
    while (connection?.isBroken) connection = this.#idle.pop();
    connection ??= new Connection(this.#port);
    this.#all.add(connection);
    try {
      const answer = await connection.exchange(request);
      if (!connection.isBroken) this.#idle.push(connection);
      return answer;
    } catch (reason) {
      connection.close();
      throw reason;
    } finally {
      if (connection.isBroken) this.#all.delete(connection);
    }
  }

  [Symbol.dispose](): void {
    for (const connection of this.#all) connection.close();
  }
}

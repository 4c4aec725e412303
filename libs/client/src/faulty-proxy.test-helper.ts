import { createServer, connect, type Server, type Socket } from "node:net";

/** What happens to bytes between a client and a node. */
export type Weather =
  | { readonly kind: "fair" }
  /** Each piece comes so much later. */
  | { readonly kind: "slow"; readonly delayMs: number }
  /** Connections are taken and nothing ever comes of them; those that are open fall silent. */
  | { readonly kind: "black_hole" }
  /** New connections and the next bytes of old ones meet a reset. */
  | { readonly kind: "reset" }
  /** Of the next bytes towards the client so many go missing, once for each connection. */
  | { readonly kind: "lossy"; readonly size: number };

/** A TCP proxy whose weather a test makes; what went through it is kept, up to a bound, to be searched. */
export class FaultyProxy implements AsyncDisposable {
  weather: Weather = { kind: "fair" };
  connectionsTaken = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Where new connections go on to. */
  target: { readonly host: string; readonly port: number };
  readonly #seen: Buffer[] = [];
  #seenSize = 0;
  readonly #seenMax: number;

  private constructor(target: { host: string; port: number }, seenMax: number) {
    this.target = target;
    this.#seenMax = seenMax;
    this.#server = createServer((socket) => this.#accept(socket));
  }
  static async open(
    target: { readonly host: string; readonly port: number },
    seenMax = 64 * 1024 * 1024,
  ): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(target, seenMax);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }
  /** Everything that has gone through, either way. */
  get seen(): Buffer {
    return Buffer.concat(this.#seen);
  }
  /** Ends what is open, as a crash of the node does. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  #accept(near: Socket): void {
    this.connectionsTaken += 1;
    const far = connect(this.target);
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      socket.on("error", () => socket.destroy());
    }
    if (this.weather.kind === "reset") near.resetAndDestroy();
    this.#pipe(near, far, false);
    this.#pipe(far, near, true);
  }
  #pipe(source: Socket, target: Socket, isTowardsClient: boolean): void {
    let lost = 0;
    let before = Promise.resolve();
    source.on("data", (bytes: Buffer) => {
      const { weather } = this;
      if (weather.kind === "black_hole") return;
      if (weather.kind === "reset") {
        source.resetAndDestroy();
        target.resetAndDestroy();
        return;
      }
      if (this.#seenSize < this.#seenMax) {
        this.#seen.push(bytes);
        this.#seenSize += bytes.byteLength;
      }
      const size = weather.kind === "lossy" && isTowardsClient ? weather.size - lost : 0;
      const rest = size > 0 ? bytes.subarray(Math.min(size, bytes.byteLength)) : bytes;
      lost += bytes.byteLength - rest.byteLength;
      const delayMs = weather.kind === "slow" ? weather.delayMs : 0;
      if (delayMs > 0) before = before.then(() => Bun.sleep(delayMs));
      before = before.then(() => this.#pass(source, target, rest));
    });
    source.once("close", () => {
      if (this.weather.kind !== "black_hole") void before.then(() => target.destroy());
    });
  }
  #pass(source: Socket, target: Socket, bytes: Buffer): void {
    if (target.destroyed || target.write(bytes)) return;
    source.pause();
    target.once("drain", () => source.resume());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

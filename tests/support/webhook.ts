/** A webhook of the tests: keeps the events that it took, and answers as it is told. */
export interface Told {
  readonly event: string;
  readonly key: string;
  readonly etag: string | undefined;
  readonly sequencer: string;
}

interface EventBody {
  readonly Records?: readonly {
    readonly eventName: string;
    readonly s3: {
      readonly object: { readonly key: string; readonly eTag?: string; readonly sequencer: string };
    };
  }[];
}

/** The events in a message, as AWS writes them. */
export const toldBy = (body: unknown): readonly Told[] =>
  ((body as EventBody).Records ?? []).map(({ eventName, s3 }) => ({
    event: eventName,
    key: decodeURIComponent(s3.object.key.replaceAll("+", " ")),
    etag: s3.object.eTag,
    sequencer: s3.object.sequencer,
  }));

export class Webhook implements AsyncDisposable {
  readonly told: Told[] = [];
  /** Status for the next event; `undefined`: never answers. */
  answer: () => number | undefined = () => 200;
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const body: unknown = await request.json();
      const status = this.answer();
      if (status === undefined) await new Promise(() => undefined);
      if (status === 200) this.told.push(...toldBy(body));
      return new Response("", { status: status ?? 500 });
    },
  });
  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/events`;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

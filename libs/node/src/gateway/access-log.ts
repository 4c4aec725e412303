import {
  assert,
  AssertionError,
  type Millis,
  millis,
  type NamespaceId,
  type TenantId,
  toHex,
  toUtf8,
} from "@kiseki/base";
import { lookupNamespace, lookupSetting, type Operation, type Origin } from "@kiseki/composition";
import {
  accessLine,
  accessLogKey,
  accessOperation,
  type LoggingConfig,
  loggingSetting,
} from "@kiseki/s3";
import type { Logger } from "@kiseki/telemetry";
import type { FrontResponse } from "../front/types.ts";
import { type WrittenContent, writeContent } from "../object/write-content.ts";
import type { ContentSource, DataPorts, OpenTenant } from "../object/types.ts";
import type { Place } from "./access/place.ts";
import type { RequestTrace } from "./request-trace.ts";
import { newOperationId } from "./scope.ts";

export interface AccessLogParts {
  readonly ports: DataPorts;
  readonly log: Pick<Logger, "warn">;
  readonly openTenant: (tenant: TenantId, signal: AbortSignal) => Promise<OpenTenant>;
  readonly region: string;
  /** How long a line waits at most. */
  readonly interval: Millis;
  /** Bytes of lines that may wait in memory; beyond, new ones are dropped and counted. */
  readonly sizeMax?: number;
}

type Target = NonNullable<LoggingConfig["target"]>;

/** Lines of one bucket that go into one object. */
interface Buffer {
  readonly tenant: TenantId;
  readonly account: string;
  readonly bucket: string;
  readonly target: Target;
  /** Of the first line. */
  readonly eventTime: number;
  /** When it came, by `Clock.monotonic`. */
  readonly since: number;
  readonly lines: string[];
  size: number;
  failures: number;
}

/** An object of the log is delivered before it grows beyond this. */
const objectSizeMax = 4 * 1024 * 1024;
const sizeMaxDefault = 16 * 1024 * 1024;
const failuresMax = 5;
/** How long a stop waits for what is left to be delivered. */
const lastMs = 5000;
const hostId = "kiseki";
const lookMs = 1000;
const dayMs = 86_400_000;

/**
 * Access logs of buckets: lines wait in memory, at most `sizeMax` bytes of them, and are delivered as objects of
 * the target bucket. A kill loses what waits, as AWS's best effort may. Deliveries are no requests and write no lines, so
 * that a bucket may log to itself.
 */
export class AccessLog implements AsyncDisposable {
  readonly #parts: AccessLogParts;
  readonly #buffers = new Map<string, Buffer>();
  readonly #abort = new AbortController();
  readonly #running: Promise<void>;
  #size = 0;
  #delivering: Promise<void> = Promise.resolve();

  constructor(parts: AccessLogParts) {
    this.#parts = parts;
    this.#running = this.#run();
  }

  /** What to call when the answer to this request is sent; `undefined` where nobody keeps a log of it. */
  follow(trace: RequestTrace): ((response: FrontResponse, sizeSent: number) => void) | undefined {
    const { place, call } = trace;
    if (place === undefined || call === undefined || !("bucket" in call)) return undefined;
    const target = targetOf(place, call.bucket);
    if (target === undefined) return undefined;
    const { clock } = this.#parts.ports;
    const ready = clock.monotonic();
    return (response, sizeSent) => {
      const ended = clock.monotonic();
      const time = clock.realtime() - (ended - trace.request.arrivedAt);
      const timing = { time, ready, ended };
      const lines = linesOf(trace, { response, sizeSent }, timing);
      this.#add(place, call.bucket, target, lines, time);
    };
  }

  /** Delivers all that waits (or whose first line came before `since`); what fails waits again, a few times. */
  async flush(signal: AbortSignal = this.#abort.signal, since = Infinity): Promise<void> {
    const before = this.#delivering;
    this.#delivering = (async () => {
      await before;
      const waiting = [...this.#buffers].filter(([, buffer]) => buffer.since <= since);
      for (const [name, buffer] of waiting) {
        if (this.#buffers.get(name) === buffer) this.#buffers.delete(name);
        await this.#deliver(name, buffer, signal);
      }
    })();
    await this.#delivering;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error("stopping"));
    await this.#running;
    await this.flush(AbortSignal.timeout(lastMs));
  }

  async #run(): Promise<void> {
    const { ports, interval } = this.#parts;
    const { clock } = ports;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      try {
        await clock.sleep(millis(Math.min(interval, lookMs)), signal);
      } catch (reason) {
        if (signal.aborted) return;
        throw reason;
      }
      await this.flush(signal, clock.monotonic() - interval);
    }
  }

  #add(place: Place, bucket: string, target: Target, lines: readonly string[], time: number): void {
    const { metrics } = this.#parts.ports;
    const size = lines.reduce((sum, line) => sum + line.length, 0);
    if (this.#size + size > (this.#parts.sizeMax ?? sizeMaxDefault)) {
      metrics.add("kiseki_access_log_dropped_total", lines.length);
      return;
    }
    const day = target.format === "event_time" ? Math.floor(time / dayMs) : 0;
    const name = JSON.stringify([toHex(place.tenant.id), bucket, target, day]);
    let buffer = this.#buffers.get(name);
    if (buffer === undefined) {
      const { tenant, owner } = place;
      const since = this.#parts.ports.clock.monotonic();
      const about = { tenant: tenant.id, account: owner.account, bucket, target, since };
      buffer = { ...about, eventTime: time, lines: [], size: 0, failures: 0 };
      this.#buffers.set(name, buffer);
    }
    buffer.lines.push(...lines);
    buffer.size += size;
    this.#size += size;
    if (buffer.size >= objectSizeMax) {
      this.#buffers.delete(name);
      const full = buffer;
      const before = this.#delivering;
      this.#delivering = before.then(() => this.#deliver(name, full, this.#abort.signal));
    }
  }

  async #deliver(name: string, buffer: Buffer, signal: AbortSignal): Promise<void> {
    const { ports, log } = this.#parts;
    const drop = (): void => {
      this.#size -= buffer.size;
      ports.metrics.add("kiseki_access_log_dropped_total", buffer.lines.length);
    };
    try {
      if (!(await this.#put(buffer, signal))) return drop();
      this.#size -= buffer.size;
      ports.metrics.add("kiseki_access_log_delivered_total", buffer.lines.length);
    } catch (reason) {
      if (reason instanceof AssertionError) throw reason;
      const error = reason instanceof Error ? `${reason.name}: ${reason.message}` : "unknown";
      log.warn({ work: "access log", error }, "an access log is not delivered");
      buffer.failures += 1;
      if (buffer.failures >= failuresMax) return drop();
      this.#buffers.set(`${name} ${buffer.failures} ${ports.clock.monotonic()}`, buffer);
    }
  }

  /** False when the target bucket is gone: the lines go nowhere. */
  async #put(buffer: Buffer, signal: AbortSignal): Promise<boolean> {
    const { ports, openTenant, region } = this.#parts;
    const tenant = await openTenant(buffer.tenant, signal);
    const { account, bucket, target, eventTime } = buffer;
    const row = tenant.store.view((map) => lookupNamespace(map, target.bucket));
    if (row === undefined) return false;
    const times = { deliveryTime: ports.clock.realtime(), eventTime };
    const random = ports.prng.fill(new Uint8Array(8));
    const key = toUtf8(accessLogKey(target, { account, region, bucket }, times, random));
    const body = toUtf8(buffer.lines.join(""));
    const operationId = newOperationId(ports.prng);
    using written = await writeContent(ports, tenant, sourceOf(body), {
      ...{ operationId, size: body.byteLength, signal },
      algorithms: new Set(["crc64nvme"]),
      pool: 0,
    });
    try {
      const outcome = await tenant.owner.submit(
        putOf(row.id, key, written),
        operationId,
        deliverer,
      );
      if (outcome.kind === "refused") throw new Error(`The target took no log: ${outcome.code}`);
      return true;
    } catch (reason) {
      if (!(reason instanceof AssertionError)) written.discard();
      throw reason;
    }
  }
}

/** As those are told who subscribed to the target bucket. */
const deliverer: Origin = { principal: "s3.logging", address: "", requestId: "" };

function putOf(namespace: NamespaceId, key: Uint8Array, written: WrittenContent): Operation {
  const { content, size, digests } = written;
  const md5 = digests.get("md5");
  const value = digests.get("crc64nvme");
  assert(md5 !== undefined && value !== undefined, "both digests were asked for");
  return {
    kind: "put_object",
    namespace,
    key,
    content,
    size,
    etag: { md5, parts: 0 },
    attributes: {
      headers: [["content-type", "text/plain"]],
      userMetadata: [],
      checksums: [{ algorithm: "crc64nvme", value, isComposite: false }],
    },
  };
}

/** The bucket's log, if it keeps one. A row that cannot be read keeps none: the request is not to blame. */
function targetOf({ tenant, buckets }: Place, bucket: string): Target | undefined {
  try {
    const row = buckets.find(tenant, bucket);
    if (row === undefined) return undefined;
    const config = buckets.findSetting(bucket, loggingSetting.stored, () => {
      const kept = tenant.store.view((map) => lookupSetting(map, row.id, loggingSetting.stored));
      return kept === undefined ? undefined : loggingSetting.decode(kept);
    }) as LoggingConfig | undefined;
    return config?.target;
  } catch (reason) {
    if (reason instanceof AssertionError) throw reason;
    return undefined;
  }
}

function sourceOf(body: Uint8Array): ContentSource {
  let at = 0;
  return {
    readInto(target) {
      const slice = body.subarray(at, at + target.byteLength);
      target.set(slice);
      at += slice.byteLength;
      return Promise.resolve(slice.byteLength);
    },
  };
}

interface Ended {
  readonly response: FrontResponse;
  readonly sizeSent: number;
}

const headerOf = ({ headers }: FrontResponse, wanted: string): string | undefined =>
  headers.find(([name]) => name.toLowerCase() === wanted)?.[1];

/** Of what is read or written; unknown for all else. */
function objectSize({ request, call }: RequestTrace, { response }: Ended): number | undefined {
  const range = /\/(\d+)$/.exec(headerOf(response, "content-range") ?? "")?.[1];
  if (range !== undefined) return Number(range);
  switch (call?.kind) {
    case "get_object":
    case "head_object": {
      const { body, size } = response;
      return response.status >= 300 || body instanceof Uint8Array
        ? undefined
        : (body?.size ?? size);
    }
    case "put_object":
    case "upload_part":
      return call.body.size ?? (request.head.body.kind === "sized" ? request.head.body.size : 0);
    default:
      return undefined;
  }
}

function linesOf(
  trace: RequestTrace,
  ended: Ended,
  timing: { readonly time: number; readonly ready: number; readonly ended: number },
): readonly string[] {
  const { request, call, place, key, result, errorCode } = trace;
  if (call === undefined || place === undefined || !("bucket" in call)) return [];
  const { head } = request;
  const { response, sizeSent } = ended;
  const principal = key?.principal;
  const isQuery = /[?&]X-Amz-Signature=/i.test(head.target);
  const record = {
    bucketOwner: place.owner.canonicalId,
    bucket: call.bucket,
    time: timing.time,
    address: request.remoteAddress,
    requester: principal?.kind === "root" ? principal.canonicalId : principal?.arn,
    requestId: request.id,
    operation: accessOperation(trace.isPage ? "WEBSITE" : "REST", head.method, call),
    key: "key" in call ? call.key : undefined,
    ...{ method: head.method, target: head.target, version: head.version },
    status: response.status,
    errorCode,
    sizeSent: head.method === "HEAD" ? 0 : sizeSent,
    objectSize: objectSize(trace, ended),
    totalMs: timing.ended - request.arrivedAt,
    turnAroundMs: timing.ready - request.arrivedAt,
    headers: head.headers,
    versionId: headerOf(response, "x-amz-version-id"),
    hostId,
    authType:
      key === undefined ? undefined : isQuery ? ("QueryString" as const) : ("AuthHeader" as const),
    host: head.host,
  };
  const deleted = result?.kind === "objects_deleted" ? result.outcomes : [];
  const each = deleted.map(({ key: name, versionId, error }) =>
    accessLine({
      ...record,
      operation: "BATCH.DELETE.OBJECT",
      key: name,
      versionId,
      status: error === undefined ? 204 : undefined,
      errorCode: error?.code,
      sizeSent: 0,
    }),
  );
  return [accessLine(record), ...each];
}

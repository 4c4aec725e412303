/** A listener by the setting that places it. */
export interface ListenerName {
  readonly what: string;
  /** Of the flag, without dashes. */
  readonly flag: string;
  readonly variable: string;
}

export const s3Listener: ListenerName = {
  what: "S3",
  flag: "s3-addr",
  variable: "KISEKI_S3_ADDR",
};
export const metricsListener: ListenerName = {
  what: "metrics",
  flag: "metrics-addr",
  variable: "KISEKI_METRICS_ADDR",
};
export const rpcListener: ListenerName = {
  what: "administration",
  flag: "data-addr",
  variable: "KISEKI_DATA_ADDR",
};

export const bulkListener: ListenerName = {
  what: "bulk frames",
  flag: "bulk-addr",
  variable: "KISEKI_BULK_ADDR",
};

export const advisoryListener: ListenerName = {
  what: "the advisory service",
  flag: "advisory-addr",
  variable: "KISEKI_ADVISORY_ADDR",
};

/** What may be wrong with an address, and what to do; `undefined` for a fault of another kind. */
function advise(reason: unknown, port: number): string | undefined {
  if (!(reason instanceof Error)) return undefined;
  switch ("code" in reason ? reason.code : undefined) {
    case "EADDRINUSE":
      return `the port is taken. "ss -ltnp sport = :${port}" names who listens there; stop it, or give another`;
    case "EADDRNOTAVAIL":
      return "this machine has no such address. Give one that it has as";
    case "EACCES":
      return "the system forbids it; ports below 1024 are for root. Give another";
    default:
      return reason.message.startsWith("Failed to listen")
        ? "there is no such host. Give another"
        : undefined;
  }
}

/** Runs `open`. @throws {Error} that says which listener could not be opened, why, and what to do. */
export async function openListener<T>(
  { what, flag, variable }: ListenerName,
  { host, port }: { readonly host: string; readonly port: number },
  open: () => T | Promise<T>,
): Promise<T> {
  try {
    return await open();
  } catch (reason) {
    const advice = advise(reason, port);
    if (advice === undefined) throw reason;
    throw new Error(
      `Cannot listen for ${what} on ${host.includes(":") ? `[${host}]` : host}:${port}: ${advice} --${flag} (${variable})`,
      { cause: reason },
    );
  }
}

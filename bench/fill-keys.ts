/**
 * Fills a tree of keys by the shard's own operations, in this process: the rows that S3's PUTs make, of objects without
 * content. Where a machine has no hours for ten million PUTs, what a page of LIST costs can be seen all the same.
 */
import { join } from "node:path";
import { newBytes, operationId, toUtf8 } from "../libs/base/src/index.ts";
import { lookupNamespace } from "../libs/composition/src/index.ts";
import { nativeDirectory, openCrypto, systemClock, systemPrng } from "../libs/host/src/index.ts";
import {
  foreignVariables,
  ignoredVariables,
  openNode,
  parseSettings,
  serverSettings,
} from "../libs/node/src/index.ts";
import { openLogger, openMetrics } from "../libs/telemetry/src/index.ts";

/** Operations under way: they join the batches that the shard's owner makes. */
const atOnce = 2048;
const attributes = { headers: [], userMetadata: [], checksums: [] };
const etag = {
  md5: new Uint8Array(Buffer.from("d41d8cd98f00b204e9800998ecf8427e", "hex")),
  parts: 0,
};

function openHere(folder: string) {
  const { settings } = parseSettings(serverSettings, {
    words: [
      ...["--data-dir", join(folder, "data"), "--config-dir", join(folder, "config")],
      ...["--devices", join(folder, "device-0"), "--allow-single-copy", "--arena-size", "64MiB"],
    ],
    environment: {},
    file: "",
    ignored: ignoredVariables,
    foreign: foreignVariables,
  });
  return openNode({
    ...{ clock: systemClock, prng: systemPrng, crypto: openCrypto(), metrics: openMetrics() },
    ...{ log: openLogger("silent"), settings, nativeDirectory },
    onRecoveryCode: () => {},
    onFatal(reason) {
      throw reason;
    },
  });
}

/** Puts objects `first` to `end` under the keys that `keyOf` names; `onProgress` is told how far all of them are. */
export async function fillKeys(
  folder: string,
  {
    first,
    end,
    keyOf,
  }: { readonly first: number; readonly end: number; readonly keyOf: (number: number) => string },
  onProgress: (done: number) => Promise<void>,
): Promise<void> {
  await using node = await openHere(folder);
  const tenant = await node.openDefaultTenant(new AbortController().signal);
  const bucket = tenant.store.view((map) => lookupNamespace(map, "bench"));
  if (bucket === undefined) throw new Error("Cannot bench: there is no bucket to fill");
  for (let from = first; from < end; from += atOnce) {
    const count = Math.min(atOnce, end - from);
    const outcomes = await Promise.all(
      Array.from({ length: count }, (_, at) =>
        tenant.owner.submit(
          {
            ...({
              kind: "put_object",
              namespace: bucket.id,
              key: toUtf8(keyOf(from + at)),
            } as const),
            ...({ content: { kind: "empty" }, size: 0, etag, attributes } as const),
          },
          operationId(systemPrng.fill(newBytes(16))),
        ),
      ),
    );
    const refused = outcomes.find((outcome) => outcome.kind === "refused");
    if (refused?.kind === "refused")
      throw new Error(`Cannot bench: a key was refused: ${refused.code}`);
    await onProgress(from + count);
  }
}

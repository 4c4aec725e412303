/** Lifecycle rules beside clients: the worker's own round, over the simulated clock, held to the model's answers. */
import { fromHex, namespaceId, newBytes, operationId, toUtf8 } from "@kiseki/base";
import type { Operation } from "@kiseki/composition";
import {
  activeRules,
  type LifecycleDay,
  LifecycleRefusedError,
  lifecycleSetting,
  noCounts,
  type Outcome,
  type Progress,
  runRound,
} from "@kiseki/node/sim";
import { pick } from "./sim-choices.ts";
import type { ModelBucket } from "./sim-model.ts";
import type { SimNode } from "./sim-node.ts";

const rule = (inner: string): string => `<Rule>${inner}<Status>Enabled</Status></Rule>`;
const under = (prefix: string): string => `<Filter><Prefix>${prefix}</Prefix></Filter>`;
const noncurrent =
  "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>";
const marker =
  "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
const abort =
  "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>";
const expire = "<Expiration><Days>1</Days></Expiration>";
const anySize = "<Filter><ObjectSizeLessThan>999999999</ObjectSizeLessThan></Filter>";
const move = "<Transition><Days>1</Days><StorageClass>GLACIER_IR</StorageClass></Transition>";
const moveOld =
  "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>GLACIER_IR</StorageClass></NoncurrentVersionTransition>";
const documents = [
  rule(under("") + noncurrent + marker),
  rule(under("a") + expire),
  rule(under("v/") + expire + noncurrent),
  rule(under("") + abort),
  rule(anySize + move + moveOld),
  rule(`<Filter><Tag><Key>n</Key><Value>1</Value></Tag></Filter>${expire}`),
];
/** Days so short that some of what is there is due, and so long that not all is. */
const dayMs = [1, 500, 5000];

const newId = ({ world }: SimNode) => operationId(world.nodePrng.fill(newBytes(16)));

/** One round in a bucket, from its start or from a key on. */
export async function applyRules(node: SimNode, bucket: ModelBucket): Promise<string> {
  const { prng } = node.world;
  const document = `<LifecycleConfiguration>${pick(prng, documents)!}</LifecycleConfiguration>`;
  const rules = activeRules(
    lifecycleSetting.decode(lifecycleSetting.store(toUtf8(document)) as Uint8Array),
  );
  const day: LifecycleDay = { ms: pick(prng, dayMs)!, isRounded: false };
  const from: Progress = {
    started: node.ports.clock.realtime(),
    finished: undefined,
    phase: prng.chance(1, 4) ? "uploads" : "versions",
    after: prng.chance(1, 3) ? toUtf8("b") : undefined,
    counts: noCounts,
  };
  const { tenant } = node;
  // A move changes nothing that the model knows of, and may be refused for what it does not: a seal is another one now.
  const submit = async (operation: Operation): Promise<Outcome> => {
    if (operation.kind !== "move_content") return node.submit(operation);
    const moved = node.model.source(operation);
    if (typeof moved !== "string") node.world.movedContent.add(moved.etag);
    return node.alive(tenant.owner.submit(operation, newId(node)));
  };
  const owner = { epoch: tenant.owner.epoch, submit };
  const parts = {
    ports: node.ports,
    openTenant: async () => ({ ...tenant, owner }),
    namespace: namespaceId(fromHex(bucket.id)),
    rules: () => rules,
    day,
    ratePerSecond: 1_000_000,
    onStep: async () => undefined,
  };
  try {
    const { counts } = await node.alive(runRound(parts, from, node.signal));
    const { expired, removed, aborted, changed, held, moved, skipped } = counts;
    node.world.count("expired by rules", expired);
    node.world.count("removed by rules", removed);
    node.world.count("aborted by rules", aborted);
    node.world.count("moved by rules", moved);
    const words = [expired, removed, aborted, changed, held, moved, skipped].join(" ");
    return `${bucket.name} ${words}`;
  } catch (reason) {
    if (!(reason instanceof LifecycleRefusedError)) throw reason;
    return `${bucket.name} ${reason.message}`;
  }
}

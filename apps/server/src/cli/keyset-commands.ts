import { exitCode } from "@kiseki/cli";
import { formatTable } from "./format.ts";
import type { Session, Work } from "./session.ts";

const call = ({ signal }: Session) => ({ signal });

/** A new keyset for new writes. */
export const rekey: Work = async (session) => {
  const client = await session.client();
  const { keyset } = await client.rekey({}, call(session));
  session.console.emit({ keyset });
  session.console.say(`New writes go under keyset ${keyset}.`);
  session.console.note(
    'What is stored follows in the background; "kiseki encryption keysets" shows how far it is.',
  );
  return exitCode.ok;
};

/** Keysets that live, with what is left under the older ones. */
export const listKeysets: Work = async (session) => {
  const { console } = session;
  const client = await session.client();
  const { keysets, unreadableCount } = await client.listKeysets({}, call(session));
  for (const keyset of keysets) console.emit(keyset);
  const rows = keysets.map((each) => [
    String(each.keyset),
    each.isCurrent ? "new writes" : each.isCounted ? "emptied" : "not counted yet",
    ...(each.isCounted
      ? [
          each.chunkCount,
          each.smallContentCount,
          each.customerSaltCount,
          each.shardFileCount,
          each.logCount,
        ].map(String)
      : ["", "", "", "", ""]),
  ]);
  console.say(formatTable(["KEYSET", "STATE", "CHUNKS", "SMALL", "SSE-C", "FILES", "LOG"], rows));
  if (unreadableCount > 0n) {
    console.say(
      `${unreadableCount} chunks cannot be read and keep their keyset; "kiseki verify" names their objects.`,
    );
  }
  return exitCode.ok;
};

/** What `aws:kms` takes for the key. */
export const showKmsKey: Work = async (session) => {
  const client = await session.client();
  const { arn, keyId } = await client.showKmsKey({}, call(session));
  session.console.emit({ arn, keyId });
  session.console.say(arn);
  return exitCode.ok;
};

export const rotateMaster: Work = async (session) => {
  const client = await session.client();
  const { epoch } = await client.rotateMaster({}, call(session));
  session.console.emit({ epoch });
  session.console.say(
    `The system's shares are wrapped by master ${epoch}; older ones are deleted.`,
  );
  return exitCode.ok;
};

export const rotateKek: Work = async (session) => {
  const client = await session.client();
  const { version } = await client.rotateKek({}, call(session));
  session.console.emit({ version });
  session.console.say(`The tenant's shares are wrapped by version ${version} of its KEK.`);
  return exitCode.ok;
};

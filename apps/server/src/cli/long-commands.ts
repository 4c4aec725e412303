import { resolve } from "node:path";
import { fromUtf8 } from "@kiseki/base";
import { CommandError, exitCode, formatSize } from "@kiseki/cli";
import { formatKey, formatTable } from "./format.ts";
import { type Session, sizeOption, type Work } from "./session.ts";

const phases: Readonly<Record<string, string>> = {
  devices: "Checking records",
  repair: "Repairing",
  sums: "Summing up rows",
};
export const call = ({ signal }: Session) => ({ signal });

/** Exit code 1 when something stays bad: lost, waiting for a device, or rows that are not what was committed. */
export const runScrub: Work = async (session) => {
  const { console } = session;
  const client = await session.client();
  using progress = console.progress("Scrub");
  for await (const step of client.scrub({}, call(session))) {
    progress.update(Number(step.doneCount), Number(step.totalCount), phases[step.phase]);
    if (!step.isDone) continue;
    progress[Symbol.dispose]();
    console.emit({
      recordCount: step.recordCount,
      badCount: step.badCount,
      repairedCount: step.repairedCount,
      lostCount: step.lostCount,
      waitingCount: step.waitingCount,
      wrongTableCount: step.wrongTableCount,
    });
    console.say(
      `${step.recordCount} records checked, ${step.badCount} bad, ${step.repairedCount} chunks repaired`,
    );
    if (step.lostCount > 0n) {
      console.say(`${step.lostCount} chunks are lost; "kiseki verify" names their objects`);
    }
    if (step.waitingCount > 0n) {
      console.say(`${step.waitingCount} chunks wait for a device that can take their fragments`);
    }
    if (step.wrongTableCount > 0n) {
      console.say(
        `${step.wrongTableCount} tables are not what was committed; restore the data directory from a mirror or copy`,
      );
    }
    const isBad = step.lostCount > 0n || step.waitingCount > 0n || step.wrongTableCount > 0n;
    return isBad ? exitCode.general : exitCode.ok;
  }
  throw endedEarly();
};

export const endedEarly = (): CommandError =>
  new CommandError(
    exitCode.general,
    "The node ended the answer early",
    "Look at its log and try again.",
  );

/** Exit code 1 when an object is damaged, lost or only degraded. */
export const runVerify: Work = async (session, bucket) => {
  const { console } = session;
  const client = await session.client();
  using progress = console.progress("Verifying objects");
  const rows: string[][] = [];
  const request = { bucket: bucket ?? "", quick: session.options["quick"] === true };
  for await (const step of client.verify(request, call(session))) {
    progress.update(Number(step.objectCount), Number(step.objectTotal));
    for (const { bucket, key, version, state, detail } of step.damaged) {
      const text = fromUtf8(key);
      console.emit({ bucket, key: text ?? formatKey(key), keyBase64: key, version, state, detail });
      const name = version === "" ? formatKey(key) : `${formatKey(key)} (version ${version})`;
      rows.push([state, bucket, name, detail]);
    }
    if (!step.isDone) continue;
    progress[Symbol.dispose]();
    console.emit({
      objectCount: step.objectCount,
      byteCount: step.byteCount,
      degradedCount: step.degradedCount,
      lostCount: step.lostCount,
      chunkCount: step.chunkCount,
      lostChunkCount: step.lostChunkCount,
    });
    if (rows.length > 0) console.say(formatTable(["STATE", "BUCKET", "KEY", "DETAIL"], rows));
    console.say(
      `${step.objectCount} objects (${formatSize(step.byteCount)}) verified: ${step.lostCount} lost, ${step.degradedCount} degraded; ${step.lostChunkCount} of ${step.chunkCount} chunks lost`,
    );
    if (step.lostCount > 0n) {
      console.say("Lost objects must be written again or restored from a copy.");
    }
    if (step.degradedCount > 0n) {
      console.say(
        "Degraded objects are readable; repair goes on by itself once devices can take it.",
      );
    }
    const damaged = step.lostCount + step.degradedCount + step.lostChunkCount;
    return damaged > 0n ? exitCode.general : exitCode.ok;
  }
  throw endedEarly();
};

/** Exit code 1 when chunks stay lost or wait. */
export const replaceDevice: Work = async (session, deviceId, path) => {
  const { console } = session;
  const client = await session.client();
  using progress = console.progress("Repairing onto the new device");
  const request = {
    deviceId: deviceId ?? "",
    path: resolve(path ?? ""),
    force: session.options["force"] === true,
    sizeBytes: sizeOption(session, "size") ?? 0n,
  };
  for await (const step of client.replaceDevice(request, call(session))) {
    progress.update(Number(step.doneCount), Number(step.totalCount));
    if (!step.isDone) continue;
    progress[Symbol.dispose]();
    console.emit({
      deviceId: step.deviceId,
      path: request.path,
      repairedCount: step.repairedCount,
      lostCount: step.lostCount,
      waitingCount: step.waitingCount,
    });
    console.say(
      `Device ${step.deviceId} takes the place of ${deviceId}; ${step.repairedCount} chunks repaired`,
    );
    if (step.lostCount > 0n) {
      console.say(`${step.lostCount} chunks are lost; "kiseki verify" names their objects`);
    }
    if (step.waitingCount > 0n)
      console.say(`${step.waitingCount} chunks wait; repair goes on by itself`);
    console.note(
      `The node finds ${request.path} by itself from now on; name it in --devices or --pools in the place of the old one when you can.`,
    );
    return step.lostCount + step.waitingCount > 0n ? exitCode.general : exitCode.ok;
  }
  throw endedEarly();
};

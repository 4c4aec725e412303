import { resolve } from "node:path";
import { exitCode, formatSize } from "@kiseki/cli";
import { call, endedEarly } from "./long-commands.ts";
import { sizeOption, type Work } from "./session.ts";

const chosen = (words: Readonly<Record<string, unknown>>, name: string): boolean =>
  words[name] === true;

export const addDevice: Work = async (session, path) => {
  const { console, options } = session;
  const client = await session.client();
  using progress = console.progress("Making the device");
  const pool = options["pool"];
  const request = {
    path: resolve(path ?? ""),
    pool: typeof pool === "string" ? pool : "",
    force: chosen(options, "force"),
    sizeBytes: sizeOption(session, "size") ?? 0n,
  };
  for await (const step of client.addDevice(request, call(session))) {
    if (!step.isDone) continue;
    progress[Symbol.dispose]();
    const { deviceId, profile } = step;
    console.emit({ deviceId, path: request.path, profile });
    console.say(`Device ${deviceId} is one of the pool's; new chunks are written as ${profile}`);
    console.note(
      `The node finds ${request.path} by itself from now on; name it in --devices or --pools when you can.`,
    );
    return exitCode.ok;
  }
  throw endedEarly();
};

/** Exit code 1 when something waits. */
export const evacuateDevice: Work = async (session, deviceId = "") => {
  const { console, options } = session;
  const client = await session.client();
  if (chosen(options, "cancel")) {
    await client.cancelEvacuation({ deviceId }, call(session));
    console.emit({ deviceId, isLeaving: false });
    console.say(`Device ${deviceId} stays`);
    return exitCode.ok;
  }
  using progress = console.progress("Moving chunks to other devices");
  const request = { deviceId, mayLoseRedundancy: chosen(options, "lessRedundancy") };
  for await (const step of client.evacuateDevice(request, call(session))) {
    progress.update(Number(step.doneCount), Number(step.totalCount));
    if (!step.isDone) continue;
    progress[Symbol.dispose]();
    const { doneCount, waitingCount, leftBytes } = step;
    console.emit({ deviceId, doneCount, waitingCount, leftBytes });
    if (waitingCount === 0n) {
      console.say(`Device ${deviceId} is empty: ${doneCount} chunks moved`);
      console.note(`Take it out with "kiseki device remove ${deviceId}".`);
      return exitCode.ok;
    }
    console.say(
      `${doneCount} chunks moved, ${waitingCount} wait (${formatSize(leftBytes)}); the node goes on by itself`,
    );
    return exitCode.general;
  }
  throw endedEarly();
};

export const removeDevice: Work = async (session, deviceId = "") => {
  const { console } = session;
  const client = await session.client();
  const { path } = await client.removeDevice({ deviceId }, call(session));
  console.emit({ deviceId, path });
  console.say(`Device ${deviceId} is no device of this node any more`);
  if (path !== "") console.note(`Take ${path} out of --devices or --pools.`);
  return exitCode.ok;
};

import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { datapathContract, type DatapathPlace } from "@kiseki/ports/contract";
import { openDatapath } from "./native-datapath.ts";

const directory = join(import.meta.dir, "../../../build/native");

async function openPlace(): Promise<DatapathPlace> {
  await using building = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "kiseki-datapath-"));
  building.defer(() => rm(folder, { recursive: true }));
  const datapath = building.use(
    openDatapath({ directory, arenaSize: 32 << 20, computeThreads: 2, deviceThreads: 4 }),
  );
  const owned = building.move();
  let count = 0;
  return {
    datapath,
    async prepareDevice(size) {
      const path = join(folder, `device-${count++}`);
      await using file = await open(path, "wx");
      await file.truncate(size);
      return path;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

datapathContract("native", openPlace);

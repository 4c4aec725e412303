import { prngFromSeed } from "@kiseki/base";
import { openCrypto } from "@kiseki/host";
import { datapathContract } from "@kiseki/ports/contract";
import { SimDatapath, SimDisk } from "./index.ts";

datapathContract("SimDatapath", async () => {
  const prng = prngFromSeed(1);
  const disks = new Map<string, SimDisk>();
  const datapath = new SimDatapath(prng, openCrypto(), disks, 64 * 1024 * 1024);
  return {
    datapath,
    async prepareDevice(size) {
      const path = `disk${disks.size}`;
      disks.set(path, new SimDisk(prng, size));
      return path;
    },
    [Symbol.asyncDispose]: () => datapath[Symbol.asyncDispose](),
  };
});

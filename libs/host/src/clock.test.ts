import { clockContract } from "@kiseki/ports/contract";
import { systemClock } from "./clock.ts";

clockContract("systemClock", () => ({
  clock: systemClock,
  async advance(duration) {
    const end = systemClock.monotonic() + duration;
    while (systemClock.monotonic() < end) await Bun.sleep(1);
  },
}));

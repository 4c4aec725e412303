import { formatSize } from "@kiseki/cli";
import type { StagingProgress } from "@kiseki/client";
import { SingleBar } from "cli-progress";

/** Shows how far a staging is, until disposed. */
export interface StagingView extends Disposable {
  update(progress: StagingProgress): void;
}

const quietMs = 500;
const lineMs = 10_000;
/** Over so long the rate is measured. */
const rateMs = 5000;

/** Bytes of the last seconds. */
class Rate {
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];
  /** Bytes a second; 0: not known. */
  add(at: number, bytes: number): number {
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && at - this.#samples[0]!.at > rateMs) this.#samples.shift();
    const first = this.#samples[0]!;
    return at === first.at ? 0 : ((bytes - first.bytes) * 1000) / (at - first.at);
  }
}

const leftText = (seconds: number): string => {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.ceil(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown
    .map((part, index) => (index === 0 ? `${part}` : `${part}`.padStart(2, "0")))
    .join(":");
};

/** `12/80 files, 1.0 GiB of 3.2 GiB, 310.0 MiB/s, 0:07 left` */
export function progressText(progress: StagingProgress, rate: number): string {
  const { phase, filesDone, filesTotal, bytesDone, bytesTotal } = progress;
  if (phase === "listing") return `${filesTotal} files found`;
  const left = leftText((bytesTotal - bytesDone) / rate);
  return [
    `${filesDone}/${filesTotal} files`,
    `${formatSize(bytesDone)} of ${formatSize(bytesTotal)}`,
    `${formatSize(Math.round(rate))}/s`,
    `${left} left`,
  ].join(", ");
}

/** A bar on a terminal, else a line now and then; nothing with `isJson`. */
export function openStagingView(dataset: string, isJson: boolean): StagingView {
  if (isJson) return { update: () => undefined, [Symbol.dispose]: () => undefined };
  const isTerminal = process.stderr.isTTY;
  const bar = new SingleBar({
    format: `${dataset} [{bar}] {percentage}% {text}`,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    barsize: 20,
  });
  const rate = new Rate();
  rate.add(performance.now(), 0);
  let isShown = false;
  let next = performance.now() + (isTerminal ? quietMs : lineMs);
  return {
    update(progress) {
      const now = performance.now();
      if (now < next) return;
      next = now + (isTerminal ? 100 : lineMs);
      const text = progressText(progress, rate.add(now, progress.bytesDone));
      if (!isTerminal) {
        process.stderr.write(`${dataset}: ${text}\n`);
        return;
      }
      if (!isShown) bar.start(Math.max(1, progress.bytesTotal), 0, { text });
      isShown = true;
      bar.setTotal(Math.max(1, progress.bytesTotal));
      bar.update(progress.bytesDone, { text });
    },
    [Symbol.dispose]() {
      if (isShown) bar.stop();
    },
  };
}

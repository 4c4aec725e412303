import { toHex } from "@kiseki/base";
import { type Answer, type FileRef, mergeWindow, type Operation } from "@kiseki/composition";

/** Windows that are remembered; the ones noted longest ago are forgotten. */
const windowsMax = 16_384;
/** Pieces written to a window before it is looked at. */
const piecesMin = 32;

/** A window of a file: `mergeWindow` bytes from `start` on. */
export interface EditedWindow {
  readonly file: FileRef;
  readonly start: number;
}
interface Noted extends EditedWindow {
  pieces: number;
}

/** Where files of a shard were written in pieces since it was opened. */
export class EditedFiles {
  readonly #windows = new Map<string, Noted>();

  /** A committed operation. */
  note(operation: Operation, answer: Answer): void {
    if (operation.kind !== "write_file" && operation.kind !== "append_file") return;
    const base = answer.kind === "file" ? (answer.offset ?? 0) : 0;
    const { namespace, file, pieces } = operation;
    const name = `${toHex(namespace)} ${file.home} ${file.inode}`;
    for (const { offset } of pieces) {
      const window = Math.floor((base + offset) / mergeWindow);
      const key = `${name} ${window}`;
      const known = this.#windows.get(key);
      const noted = known ?? {
        file: { ...file, namespace },
        start: window * mergeWindow,
        pieces: 0,
      };
      noted.pieces += 1;
      this.#windows.delete(key); // the newest is the last
      this.#windows.set(key, noted);
    }
    for (const key of this.#windows.keys()) {
      if (this.#windows.size <= windowsMax) break;
      this.#windows.delete(key);
    }
  }

  /** Windows with enough new pieces to look at; they count from zero again. */
  take(): readonly EditedWindow[] {
    const due: EditedWindow[] = [];
    for (const [key, noted] of this.#windows) {
      if (noted.pieces < piecesMin) continue;
      due.push({ file: noted.file, start: noted.start });
      this.#windows.delete(key);
    }
    return due;
  }
}

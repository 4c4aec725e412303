/** A Worker that reads while its parent writes ten rows a COMMIT, until it meets the last ones. */
import { databaseOptions, readKeys } from "./fixture.test-helper.ts";
import { openDatabase } from "./database.ts";

declare const self: Worker;
self.onmessage = ({ data }: MessageEvent<{ number: number; slot: number }>) => {
  const database = openDatabase(data, databaseOptions({ slot: data.slot, readOnly: true }));
  self.postMessage("started");
  let rounds = 0;
  let seen = 0;
  try {
    for (;;) {
      const rows = readKeys(database);
      if (rows.length % 10 !== 0 || rows.length < seen) throw new Error(`Saw ${rows.length} rows`);
      seen = rows.length;
      rounds += 1;
      if (rows.at(-1)! >= 1_000_000) break;
    }
  } catch (reason) {
    self.postMessage(`fault ${reason}`);
  }
  database.close(true);
  self.postMessage(`done ${rounds}`);
};

import { ContentBed } from "./content-bed.test-helper.ts";

const extentSize = 45; // about what `pieces` makes
const piecesPerWrite = 1000;

function bedWithFile(extents: number) {
  const bed = new ContentBed(1);
  bed.tree.make("f");
  const file = bed.tree.get("f").ref;
  for (let left = extents; left > 0; left -= piecesPerWrite) {
    const { pieces } = bed.pieces(0, extentSize * Math.min(left, piecesPerWrite));
    bed.act(file, { kind: "append_file", pieces });
  }
  return { bed, file };
}

/** Question: does a small write cost more in a long file? Answer wanted: no, and under 500 µs of a core in either. */
export function benchWrite({ extents, writes }: { extents: number; writes: number }): {
  usPerWrite: number;
  rowsPerWrite: number;
} {
  const { bed, file } = bedWithFile(extents);
  const { size } = bed.tree.get("f");
  const { map } = bed.bed;
  const operations = Array.from({ length: writes }, () => {
    const { pieces } = bed.pieces(bed.prng.below(size), 20, true);
    return { kind: "write_file", pieces } as const;
  });
  map.reset();
  const started = process.cpuUsage();
  for (const operation of operations) bed.act(file, operation);
  const { user, system } = process.cpuUsage(started);
  const usPerWrite = (user + system) / writes;
  const { gets, rows } = map.touched;
  return { usPerWrite, rowsPerWrite: (gets + rows) / writes };
}
if (import.meta.main) {
  for (const extents of [1000, 100_000]) {
    console.log(JSON.stringify({ extents, ...benchWrite({ extents, writes: 3000 }) }));
  }
}

/**
 * Takes the download addresses out of `bun.lockb`: an install resolves packages by name, version and
 * integrity hash from the registry that its user has configured, so an address is neither needed nor wanted.
 *
 *   bun scripts/lockfile.ts           rewrites bun.lockb
 *   bun scripts/lockfile.ts --check [FILE]   exits 1 if an address is in it
 *
 * The format keeps long strings in one buffer and names them by 8 bytes: offset in the buffer (u32),
 * length with the top bit set (u32), little-endian. Found by experiment with Bun 1.4.4.
 */
const isCheck = process.argv[2] === "--check";
const path = (isCheck ? process.argv[3] : undefined) ?? `${import.meta.dir}/../bun.lockb`;
const lockfile = Buffer.from(await Bun.file(path).arrayBuffer());
const text = lockfile.toString("latin1");
const addresses = [...text.matchAll(/https?:\/\/[\x21-\x7e]+?\.tgz/g)].map((match) => ({
  start: match.index,
  size: match[0].length,
}));

if (isCheck) {
  if (addresses.length > 0)
    console.error("bun.lockb names a registry: run bun scripts/lockfile.ts");
  process.exit(addresses.length > 0 ? 1 : 0);
}

/** Where in the file a reference of `size` to the buffer may stand, with the start of the buffer it implies. */
function bufferStarts(address: { start: number; size: number }): Set<number> {
  const starts = new Set<number>();
  for (let at = 0; at + 8 <= lockfile.length; at++) {
    if (lockfile.readUInt32LE(at + 4) !== (address.size | 0x80000000) >>> 0) continue;
    const start = address.start - lockfile.readUInt32LE(at);
    if (start > 0) starts.add(start);
  }
  return starts;
}

if (addresses.length > 0) {
  // The one start on which the references to all addresses agree.
  let starts = bufferStarts(addresses[0]!);
  for (const address of addresses.slice(1)) {
    const others = bufferStarts(address);
    starts = new Set([...starts].filter((start) => others.has(start)));
  }
  if (starts.size !== 1)
    throw new Error(`Cannot find the string buffer: ${starts.size} candidates`);
  const [start] = [...starts];
  for (const address of addresses) {
    const offset = address.start - start!;
    for (let at = 0; at + 8 <= lockfile.length; at++) {
      const size = (address.size | 0x80000000) >>> 0;
      if (lockfile.readUInt32LE(at) !== offset || lockfile.readUInt32LE(at + 4) !== size) continue;
      lockfile.fill(0, at, at + 8);
    }
    lockfile.fill(0, address.start, address.start + address.size);
  }
  await Bun.write(path, lockfile);
}
console.log(`bun.lockb: ${addresses.length} addresses taken out`);

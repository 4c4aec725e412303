/** Operations of the protocol by the kernel's numbers. What is not here is refused with ENOSYS. */
export const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  readlink: 5,
  symlink: 6,
  mknod: 8,
  mkdir: 9,
  unlink: 10,
  rmdir: 11,
  rename: 12,
  link: 13,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  fsync: 20,
  setxattr: 21,
  getxattr: 22,
  listxattr: 23,
  removexattr: 24,
  flush: 25,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  fsyncdir: 30,
  getlk: 31,
  setlk: 32,
  setlkw: 33,
  access: 34,
  create: 35,
  interrupt: 36,
  bmap: 37,
  destroy: 38,
  ioctl: 39,
  poll: 40,
  notify_reply: 41,
  batch_forget: 42,
  fallocate: 43,
  readdirplus: 44,
  rename2: 45,
  lseek: 46,
  copy_file_range: 47,
  setupmapping: 48,
  removemapping: 49,
  syncfs: 50,
  tmpfile: 51,
  statx: 52,
  copy_file_range_64: 53,
} as const;
export type Opcode = keyof typeof opcodes;

const byNumber: readonly (Opcode | undefined)[] = (() => {
  const table: (Opcode | undefined)[] = [];
  for (const [name, number] of Object.entries(opcodes)) table[number] = name as Opcode;
  return table;
})();

export const opcodeOf = (number: number): Opcode | undefined => byNumber[number];

/** The kernel waits for no answer to these and takes none. */
const unanswered: ReadonlySet<Opcode> = new Set([
  "forget",
  "batch_forget",
  "interrupt",
  "notify_reply",
]);
export const isAnswered = (opcode: Opcode): boolean => !unanswered.has(opcode);

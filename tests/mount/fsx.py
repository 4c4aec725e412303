"""fsx: random operations on one file through one or several mounts, compared with bytes in memory.

fsx.py SEED STEPS FOLDER...  prints nothing when all agrees.
"""

import os
import random
import sys

from kit import allocate

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
FIRST_PIECE_END = 4 << 20
WINDOW = 400_000


class Fsx:
    def __init__(self, seed, folders):
        self.random = random.Random(seed)
        self.paths = [os.path.join(folder, f"fsx-{seed}") for folder in folders]
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        self.writers = [os.open(path, flags, 0o644) for path in self.paths]
        # Handles for reading alone go through the kernel's cache, and stay open.
        self.readers = [os.open(path, os.O_RDONLY) for path in self.paths]
        self.model = bytearray()

    def place(self):
        near_end = self.random.random() < 0.1
        start = FIRST_PIECE_END - 100_000 if near_end else 0
        return start + self.random.randrange(WINDOW), 1 + self.random.randrange(20_000)

    def extend(self, size):
        if len(self.model) < size:
            self.model.extend(bytes(size - len(self.model)))

    def clear(self, start, end):
        end = min(end, len(self.model))
        if start < end:
            self.model[start:end] = bytes(end - start)

    def write(self, at, offset, length):
        data = self.random.randbytes(length)
        assert os.pwrite(self.writers[at], data, offset) == length
        self.extend(offset + length)
        self.model[offset : offset + length] = data

    def compare(self, fd, offset, length):
        found, wanted = os.pread(fd, length, offset), bytes(self.model[offset : offset + length])
        assert len(found) == len(wanted), f"{len(found)} bytes at {offset}, not {len(wanted)}"
        differing = (i for i in range(len(wanted)) if found[i] != wanted[i])
        assert found == wanted, f"byte {offset + next(differing)} differs"

    def read(self, at, offset, length):
        self.compare(self.writers[at], offset, length)

    def read_cached(self, at, offset, length):
        self.compare(self.readers[at], offset, length)

    def truncate(self, at, offset, _):
        os.ftruncate(self.writers[at], offset)
        del self.model[offset:]
        self.extend(offset)

    def punch(self, at, offset, length):
        allocate(self.writers[at], PUNCH_HOLE | KEEP_SIZE, offset, length)
        self.clear(offset, offset + length)

    def zero(self, at, offset, length):
        keeps = self.random.random() < 0.5
        allocate(self.writers[at], ZERO_RANGE | (KEEP_SIZE if keeps else 0), offset, length)
        if not keeps:
            self.extend(offset + length)
        self.clear(offset, offset + length)

    def copy(self, at, offset, length):
        target = self.random.randrange(WINDOW)
        if offset - length < target < offset + length:
            return
        fd = self.writers[at]
        os.fstat(fd)  # the kernel copies up to the end that it knows
        wanted = max(0, min(length, len(self.model) - offset))
        copied = os.copy_file_range(fd, fd, length, offset, target)
        assert copied == wanted, f"{copied} copied, not {wanted}"
        if copied > 0:
            self.extend(target + copied)
            self.model[target : target + copied] = bytes(self.model[offset : offset + copied])

    def sync(self, at, *_):
        os.fsync(self.writers[at])

    def reopen(self, at, *_):
        os.close(self.writers[at])
        self.writers[at] = os.open(self.paths[at], os.O_RDWR)

    def run(self, steps):
        acts = [self.write] * 6 + [self.read] * 4 + [self.read_cached] * 4
        acts += [self.truncate, self.punch, self.zero, self.copy, self.sync, self.reopen]
        for step in range(steps):
            act, at = self.random.choice(acts), self.random.randrange(len(self.paths))
            offset, length = self.place()
            try:
                act(at, offset, length)
                size = os.fstat(self.writers[at]).st_size
                assert size == len(self.model), f"size {size}, not {len(self.model)}"
            except (AssertionError, OSError) as reason:
                sys.exit(f"step {step}, {act.__name__} by {at}, {offset}+{length}: {reason}")


Fsx(int(sys.argv[1]), sys.argv[3:]).run(int(sys.argv[2]))

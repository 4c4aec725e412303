"""Work in a mounted folder while the network between mount and node is bad.

faults.py work FOLDER SEED SECONDS  operations that all have to succeed, the content checked; prints a line for each, at last the longest
faults.py fail FOLDER               waits for a line, then tries one operation of each sort; prints errno and seconds of each
"""

import errno
import os
import random
import sys
import time

from kit import get, put, same


class Work:
    def __init__(self, folder, seed):
        self.random = random.Random(seed)
        self.folder = folder
        self.files = {}

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self):
        name = f"f{self.random.randrange(12)}"
        data = self.random.randbytes(self.random.choice([10, 5_000, 300_000]))
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            same(os.write(fd, data), len(data))
            os.fsync(fd)
        finally:
            os.close(fd)
        self.files[name] = data

    def read(self):
        if self.files:
            name = self.random.choice(sorted(self.files))
            fd = os.open(self.path(name), os.O_RDWR | os.O_DIRECT)  # not from the kernel's cache
            try:
                same(os.pread(fd, 1 << 20, 0) == self.files[name], True)
            finally:
                os.close(fd)

    def rename(self):
        if self.files:
            old, new = self.random.choice(sorted(self.files)), f"f{self.random.randrange(12)}"
            os.rename(self.path(old), self.path(new))
            self.files[new] = self.files.pop(old)

    def unlink(self):
        if self.files:
            name = self.random.choice(sorted(self.files))
            os.unlink(self.path(name))
            del self.files[name]

    def list(self):
        same(sorted(os.listdir(self.folder)), sorted(self.files))

    def run(self, seconds):
        end, count, longest = time.monotonic() + seconds, 0, 0
        acts = [self.write] * 4 + [self.read] * 3 + [self.rename, self.unlink, self.list]
        while time.monotonic() < end:
            act, began = self.random.choice(acts), time.monotonic()
            act()
            longest = max(longest, time.monotonic() - began)
            count += 1
            print(count, flush=True)
        for name, data in self.files.items():
            same(get(self.path(name)) == data, True)
        self.list()
        print(f"longest {longest:.1f}")


def fail(folder):
    kept = os.path.join(folder, "kept")
    put(kept, b"kept")
    fd = os.open(kept, os.O_RDWR)
    print("ready", flush=True)
    sys.stdin.readline()

    def written():
        os.write(fd, b"more")
        os.fsync(fd)

    acts = {
        "write": written,
        "read": lambda: os.pread(fd, 10, 0),
        "stat": lambda: os.stat(os.path.join(folder, "never seen")),
        "list": lambda: os.listdir(folder),
        "create": lambda: put(os.path.join(folder, "new")),
        "rename": lambda: os.rename(kept, kept + "2"),
        "mkdir": lambda: os.mkdir(os.path.join(folder, "made")),
    }
    for name, act in acts.items():
        began, code = time.monotonic(), 0
        try:
            act()
        except OSError as reason:
            code = reason.errno
        print(name, errno.errorcode.get(code, "done"), f"{time.monotonic() - began:.1f}", flush=True)


if sys.argv[1] == "work":
    Work(sys.argv[2], int(sys.argv[3])).run(float(sys.argv[4]))
else:
    fail(sys.argv[2])

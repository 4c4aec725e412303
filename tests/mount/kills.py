"""Work in a mounted folder whose mount is killed in the middle of it; what was synced has to be there afterwards.

kills.py FOLDER SEED OTHERS...  works until the mount is gone, prints "down", waits for a line ("on" or "end"), checks what is
left there and through the OTHERS, prints "checked", and works on or ends. Printed at the end: names and digests.
"""

import errno
import hashlib
import os
import random
import sys

from kit import get, same

NAMES = [f"n{index}" for index in range(8)]
GONE = (errno.ENOTCONN, errno.ECONNABORTED)
SIZE_MAX = 400_000


class File:
    """Bytes that are safe, and what was written behind the last sync: each byte of that may be there or not."""

    def __init__(self):
        self.synced = bytearray()
        self.later = []

    def sync(self):
        for offset, data in self.later:
            if len(self.synced) < offset:
                self.synced.extend(bytes(offset - len(self.synced)))
            self.synced[offset : offset + len(data)] = data
        self.later = []

    def check(self, found):
        whole = max([len(self.synced)] + [offset + len(data) for offset, data in self.later])
        assert len(self.synced) <= len(found) <= whole, f"{len(found)} bytes"
        wanted = bytearray(self.synced) + bytearray(len(found) - len(self.synced))
        if found != wanted:
            may_be = bytearray(len(found))  # 1: as one of the later writes left it
            for offset, data in self.later:
                for at in range(offset, min(offset + len(data), len(found))):
                    may_be[at] |= found[at] == data[at - offset]
            bad = [at for at in range(len(found)) if found[at] != wanted[at] and not may_be[at]]
            assert not bad, f"byte {bad[0]} of {len(found)} is what nobody wrote"
        self.synced, self.later = bytearray(found), []


class Work:
    def __init__(self, folder, seed, others):
        self.random = random.Random(seed)
        self.folder = folder
        self.others = others
        self.names = {}
        # What the operation under way would make of the names.
        self.next = None

    def path(self, name, folder=None):
        return os.path.join(folder or self.folder, name)

    def changed(self, act, names):
        self.next = names
        act()
        self.names, self.next = names, None

    def create(self):
        name = self.random.choice(NAMES)
        if name in self.names:
            return
        file = File()
        names = {**self.names, name: file}
        self.changed(lambda: os.mknod(self.path(name), 0o100644), names)

    def write(self):
        files = [name for name, file in self.names.items() if file]
        if not files:
            return
        name = self.random.choice(files)
        file, is_appending = self.names[name], self.random.random() < 0.3
        fd = os.open(self.path(name), os.O_RDWR | (os.O_APPEND if is_appending else 0))
        try:
            for _ in range(self.random.randrange(1, 6)):
                data = self.random.randbytes(self.random.choice([1, 700, 20_000, 150_000]))
                if is_appending:
                    file.later.append((os.fstat(fd).st_size, data))
                    os.write(fd, data)
                else:
                    offset = self.random.randrange(SIZE_MAX)
                    file.later.append((offset, data))
                    os.pwrite(fd, data, offset)
                if self.random.random() < 0.4:
                    os.fsync(fd) if self.random.random() < 0.5 else os.fdatasync(fd)
                    file.sync()
        finally:
            os.close(fd)  # an error of it, where the mount is gone, is told by close too
        file.sync()

    def rename(self):
        if not self.names:
            return
        old, new = self.random.choice(list(self.names)), self.random.choice(NAMES)
        is_file = self.names[old] is not None
        if new != old and new in self.names and (not is_file or self.names[new] is None):
            return
        names = dict(self.names)
        names[new] = names.pop(old)
        self.changed(lambda: os.rename(self.path(old), self.path(new)), names)

    def remove(self):
        if not self.names:
            return
        name = self.random.choice(list(self.names))
        names = {key: value for key, value in self.names.items() if key != name}
        act = os.rmdir if self.names[name] is None else os.unlink
        self.changed(lambda: act(self.path(name)), names)

    def folder_made(self):
        name = self.random.choice(NAMES)
        if name not in self.names:
            self.changed(lambda: os.mkdir(self.path(name)), {**self.names, name: None})

    def work(self):
        acts = [self.write] * 6 + [self.create] * 3 + [self.rename, self.remove, self.folder_made]
        try:
            while True:
                self.random.choice(acts)()
        except OSError as reason:
            if reason.errno not in GONE:
                raise

    def check(self):
        listed = sorted(os.listdir(self.folder))
        if self.next is not None and self.shape(self.next) == self.found(listed):
            self.names = self.next
        self.next = None
        same(self.found(listed), self.shape(self.names))
        for name, file in self.names.items():
            if file:
                file.check(get(self.path(name)))
        for other in self.others:
            same(sorted(os.listdir(other)), listed)
            for name, file in self.names.items():
                if file:
                    same(get(self.path(name, other)) == file.synced, True)

    def found(self, listed):
        return [(name, os.path.isdir(self.path(name))) for name in listed]

    def shape(self, names):
        return sorted((name, file is None) for name, file in names.items())

    def run(self):
        order = "on"
        while order == "on":
            self.work()
            print("down", flush=True)
            order = sys.stdin.readline().strip()
            self.check()
            print("checked", flush=True)
        for name, file in sorted(self.names.items()):
            if file:
                print(name, hashlib.sha256(file.synced).hexdigest())


Work(sys.argv[1], int(sys.argv[2]), sys.argv[3:]).run()

"""Bytes of files, maps of them, locks."""

import errno
import fcntl
import hashlib
import mmap
import os
import random
import signal
import struct
import threading
import time

from kit import allocate, check, get, in_child, put, refused, same


@check
def files(root):
    path = f"{root}/f"
    refused(errno.ENOENT, os.open, path, os.O_RDONLY)
    put(path, b"hello")
    same(get(path), b"hello")
    refused(errno.EEXIST, os.open, path, os.O_CREAT | os.O_EXCL | os.O_RDWR)
    put(path, b"x")
    same(get(path), b"x")
    fd = os.open(path, os.O_RDWR)
    same(os.pwrite(fd, b"abc", 10), 3)
    same(os.pread(fd, 100, 0), b"x" + bytes(9) + b"abc")
    same(os.pread(fd, 5, 13), b"")
    os.ftruncate(fd, 2)
    same(os.pread(fd, 100, 0), b"x\0")
    os.ftruncate(fd, 5)
    same(os.pread(fd, 100, 0), b"x\0\0\0\0")
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    os.unlink(path)
    refused(errno.ENOENT, os.stat, path)


@check
def appends(root):
    path = f"{root}/log"
    put(path, b"0")
    one, two = (os.open(path, os.O_WRONLY | os.O_APPEND) for _ in range(2))
    for i in range(10):
        os.write(one, b"a%d" % i)
        os.write(two, b"b%d" % i)
    same(get(path), b"0" + b"".join(b"a%db%d" % (i, i) for i in range(10)))
    os.close(one)
    os.close(two)


@check
def maps(root):
    path = f"{root}/m"
    data = os.urandom(3 * 4096 + 100)
    put(path, data)
    for flags in (mmap.MAP_PRIVATE, mmap.MAP_SHARED):
        fd = os.open(path, os.O_RDONLY)
        with mmap.mmap(fd, 0, flags, mmap.PROT_READ) as view:
            same(view[:], data)
        os.close(fd)
    fd = os.open(path, os.O_RDONLY)
    refused(errno.EACCES, mmap.mmap, fd, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    with mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as view:
        view[0:3] = b"own"
    same(get(path), data)
    os.close(fd)
    for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT):
        for name in ("m", f"new-{flags}"):
            fd = os.open(f"{root}/{name}", flags | os.O_CREAT)
            os.ftruncate(fd, 8192)
            for protection in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE):
                refused(errno.ENODEV, mmap.mmap, fd, 8192, mmap.MAP_SHARED, protection)
            with mmap.mmap(fd, 8192, mmap.MAP_PRIVATE, mmap.PROT_READ) as view:
                same(view[:], get(f"{root}/{name}"))
            os.close(fd)


@check
def map_sees_writes(root):
    path = f"{root}/m"
    put(path, b"a" * 8192)
    reader, writer = os.open(path, os.O_RDONLY), os.open(path, os.O_RDWR)
    with mmap.mmap(reader, 0, mmap.MAP_SHARED, mmap.PROT_READ) as view:
        same(view[4096:4099], b"aaa")
        os.pwrite(writer, b"bbb", 4096)
        same(view[4096:4099], b"bbb")
        same(os.pread(reader, 3, 4096), b"bbb")
    os.close(reader)
    os.close(writer)


@check
def range_locks(root):
    path = f"{root}/l"
    put(path, b"0123456789")
    fd = os.open(path, os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)

    def other():
        own = os.open(path, os.O_RDWR)
        refused(errno.EAGAIN, fcntl.lockf, own, fcntl.LOCK_EX | fcntl.LOCK_NB, 3, 4)
        fcntl.lockf(own, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5)
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, start, length, pid = struct.unpack("hhqqi4x", fcntl.fcntl(own, fcntl.F_GETLK, wanted))
        same((kind, start, length, pid), (fcntl.F_WRLCK, 0, 5, os.getppid()))

    in_child(other)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 0)  # the child's ended with it
    os.close(os.open(path, os.O_RDONLY))  # any close ends all of a process
    in_child(lambda: fcntl.lockf(os.open(path, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB))
    os.close(fd)


def wait_for_lock(path, held, lock, release):
    """A child that waits for a lock, which `held` has, until `release` is done."""
    start, told = os.pipe()

    def waiter():
        os.close(held)  # a copy of it would keep the lock
        own = os.open(path, os.O_RDWR)
        os.write(told, b"1")
        lock(own)

    pid = os.fork()
    if pid == 0:
        waiter()
        os._exit(0)
    os.read(start, 1)
    time.sleep(0.2)
    same(os.waitpid(pid, os.WNOHANG), (0, 0))
    release(pid)
    deadline = time.time() + 5
    while time.time() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended == pid:
            return status
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError("still waits for the lock")


@check
def waiting_locks(root):
    path = f"{root}/w"
    put(path, b"1")
    for lock in (
        lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX),
        lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
    ):
        fd = os.open(path, os.O_RDWR)
        lock(fd)
        same(wait_for_lock(path, fd, lock, lambda pid: os.close(fd)), 0)
        fd = os.open(path, os.O_RDWR)
        lock(fd)
        status = wait_for_lock(path, fd, lock, lambda pid: os.kill(pid, signal.SIGTERM))
        same(os.WTERMSIG(status), signal.SIGTERM)
        os.close(fd)


@check
def whole_locks(root):
    path = f"{root}/k"
    put(path)
    one, two = os.open(path, os.O_RDONLY), os.open(path, os.O_RDONLY)
    fcntl.flock(one, fcntl.LOCK_SH)
    fcntl.flock(two, fcntl.LOCK_SH)
    refused(errno.EAGAIN, fcntl.flock, one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(two)
    fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    in_child(lambda: refused(errno.EAGAIN, fcntl.flock, os.open(path, 0), fcntl.LOCK_SH | fcntl.LOCK_NB))
    fcntl.flock(one, fcntl.LOCK_UN)
    in_child(lambda: fcntl.flock(os.open(path, 0), fcntl.LOCK_EX | fcntl.LOCK_NB))
    os.close(one)


@check
def holes(root):
    path = f"{root}/h"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    mib = 1 << 20
    os.pwrite(fd, b"x" * 4096, 4 * mib)
    same(os.fstat(fd).st_size, 4 * mib + 4096)
    assert os.fstat(fd).st_blocks * 512 < 2 * mib
    same(os.lseek(fd, 0, os.SEEK_HOLE), 0)
    assert 4 * mib - 65536 < os.lseek(fd, 0, os.SEEK_DATA) <= 4 * mib
    same(os.lseek(fd, 4 * mib, os.SEEK_HOLE) >= 4 * mib + 4096, True)
    refused(errno.ENXIO, os.lseek, fd, 5 * mib, os.SEEK_DATA)
    same(os.pread(fd, 4096, mib), bytes(4096))
    os.pwrite(fd, b"y" * mib, 0)
    allocate(fd, 3, 65536, 131072)
    same(os.pread(fd, 131072, 65536), bytes(131072))
    same(os.pread(fd, 1, 65535) + os.pread(fd, 1, 196608), b"yy")
    allocate(fd, 16, 0, 10)
    same(os.pread(fd, 11, 0), bytes(10) + b"y")
    allocate(fd, 1, 8 * mib, mib)
    same(os.fstat(fd).st_size, 4 * mib + 4096)
    allocate(fd, 0, 8 * mib, mib)
    same(os.fstat(fd).st_size, 9 * mib)
    refused(errno.EOPNOTSUPP, allocate, fd, 8, 0, 4096)
    os.close(fd)


@check
def copies(root):
    data = os.urandom(3_000_000)
    put(f"{root}/a", data)
    put(f"{root}/b", b"z" * 10)
    one, two = os.open(f"{root}/a", os.O_RDONLY), os.open(f"{root}/b", os.O_RDWR)
    done = 0
    while done < 2_000_000:
        count = os.copy_file_range(one, two, 2_000_000 - done, 1000 + done, 5 + done)
        assert count > 0
        done += count
    same(get(f"{root}/b"), b"zzzzz" + data[1000:2_001_000])
    same(os.copy_file_range(one, two, 10, 3_000_000, 0), 0)
    os.close(one)
    os.close(two)


@check
def unlinked_files(root):
    path = f"{root}/u"
    put(path, b"still here")
    fd = os.open(path, os.O_RDWR)
    os.unlink(path)
    same(os.fstat(fd).st_nlink, 0)
    os.pwrite(fd, b"!", 10)
    same(os.pread(fd, 100, 0), b"still here!")
    os.fchmod(fd, 0o600)
    put(path, b"another")
    same(os.pread(fd, 100, 0), b"still here!")
    os.close(fd)
    put(f"{root}/v", b"old")
    fd = os.open(f"{root}/v", os.O_RDONLY)
    os.rename(path, f"{root}/v")
    same((os.read(fd, 10), get(f"{root}/v")), (b"old", b"another"))
    os.close(fd)


@check
def direct_io(root):
    path = f"{root}/d"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    page = mmap.mmap(-1, 2 << 20)
    page.write(random.Random(1).randbytes(2 << 20))
    same(os.pwrite(fd, page, 0), 2 << 20)
    into = mmap.mmap(-1, 2 << 20)
    same(os.preadv(fd, [into], 0), 2 << 20)
    same(hashlib.sha256(into).digest(), hashlib.sha256(page).digest())
    os.close(fd)
    same(get(path), page[:])


@check
def random_writes(root):
    """Writes of every size at every offset by handles of every kind, against a copy in memory."""
    chance = random.Random(os.environ.get("KISEKI_SIM_SEED", "7"))
    size = 6 << 20
    wanted = bytearray(size)
    path = f"{root}/r"
    put(path, bytes(size))
    kinds = (os.O_RDWR, os.O_WRONLY)
    for turn in range(150):
        offset = chance.randrange(size)
        data = chance.randbytes(chance.choice((1, 100, 4096, 65536, 1_500_000)))[: size - offset]
        fd = os.open(path, chance.choice(kinds))
        same(os.pwrite(fd, data, offset), len(data))
        os.close(fd)
        wanted[offset : offset + len(data)] = data
        at = chance.randrange(size)
        fd = os.open(path, chance.choice((os.O_RDONLY, os.O_RDWR)))
        assert os.pread(fd, 200_000, at) == wanted[at : at + 200_000], f"turn {turn}"
        os.close(fd)
    same(hashlib.sha256(get(path)).digest(), hashlib.sha256(wanted).digest())


@check
def many_at_once(root):
    faults = []

    def work(number):
        try:
            folder = f"{root}/t{number}"
            os.mkdir(folder)
            for i in range(21):
                data = bytes([number]) * (i * 997)
                put(f"{folder}/{i}", data)
                same(get(f"{folder}/{i}"), data)
                os.rename(f"{folder}/{i}", f"{folder}/r{i}")
                if i % 3 == 0:
                    os.unlink(f"{folder}/r{i}")
            same(len(os.listdir(folder)), 14)
        except BaseException as reason:  # told by the main thread
            faults.append(repr(reason))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(faults, [])

"""Names, directories, attributes and rights."""

import ctypes
import errno
import os
import socket
import stat
import struct
import time

from kit import call, check, get, GROUP, in_child, put, refused, rename2, same, USER


@check
def names(root):
    long = "n" * 255
    put(f"{root}/{long}", b"1")
    refused(errno.ENAMETOOLONG, put, f"{root}/{long}n")
    refused(errno.ENAMETOOLONG, os.stat, f"{root}/{long}n")
    strange = os.fsencode(root) + b"/\xff\xfe a\nb\\c"
    put(strange, b"2")
    assert set(os.listdir(os.fsencode(root))) >= {long.encode(), b"\xff\xfe a\nb\\c"}
    deep = root
    for i in range(60):
        deep += f"/directory-{i}"
        os.mkdir(deep)
    put(f"{deep}/f", b"deep")
    same(get(f"{deep}/f"), b"deep")


@check
def directories(root):
    os.mkdir(f"{root}/d", 0o750)
    refused(errno.EEXIST, os.mkdir, f"{root}/d")
    same(os.stat(f"{root}/d").st_nlink, 2)
    os.mkdir(f"{root}/d/e")
    same(os.stat(f"{root}/d").st_nlink, 3)
    refused(errno.ENOTEMPTY, os.rmdir, f"{root}/d")
    refused(errno.EISDIR, os.unlink, f"{root}/d")
    os.rmdir(f"{root}/d/e")
    same(os.stat(f"{root}/d").st_nlink, 2)
    put(f"{root}/f")
    refused(errno.ENOTDIR, os.rmdir, f"{root}/f")
    refused(errno.ENOTDIR, os.stat, f"{root}/f/x")
    refused(errno.EISDIR, os.open, f"{root}/d", os.O_WRONLY)
    os.rmdir(f"{root}/d")
    refused(errno.ENOENT, os.rmdir, f"{root}/d")


@check
def renames(root):
    a, b = f"{root}/a", f"{root}/b"
    put(a, b"a")
    os.rename(a, b)
    refused(errno.ENOENT, os.stat, a)
    put(a, b"A")
    refused(errno.EEXIST, rename2, a, b, 1)
    rename2(a, b, 2)
    same((get(a), get(b)), (b"a", b"A"))
    os.rename(a, b)
    same(get(b), b"a")
    refused(errno.ENOENT, rename2, b, a, 2)
    os.makedirs(f"{root}/d/e")
    refused(errno.EISDIR, os.rename, b, f"{root}/d")
    refused(errno.ENOTDIR, os.rename, f"{root}/d", b)
    refused(errno.EINVAL, os.rename, f"{root}/d", f"{root}/d/e/f")
    os.mkdir(f"{root}/empty")
    refused(errno.ENOTEMPTY, os.rename, f"{root}/empty", f"{root}/d")
    os.rename(f"{root}/d", f"{root}/empty")
    same(os.listdir(f"{root}/empty"), ["e"])
    os.rename(b, f"{root}/empty/e/moved")
    same(get(f"{root}/empty/e/moved"), b"a")


@check
def links(root):
    put(f"{root}/a", b"1")
    os.link(f"{root}/a", f"{root}/b")
    one, two = os.stat(f"{root}/a"), os.stat(f"{root}/b")
    same((one.st_ino, one.st_nlink), (two.st_ino, 2))
    refused(errno.EEXIST, os.link, f"{root}/a", f"{root}/b")
    os.mkdir(f"{root}/d")
    refused(errno.EPERM, os.link, f"{root}/d", f"{root}/e")
    os.unlink(f"{root}/a")
    same((get(f"{root}/b"), os.stat(f"{root}/b").st_nlink), (b"1", 1))
    target = "../" * 100 + "t" * 200
    os.symlink(target, f"{root}/s")
    same(os.readlink(f"{root}/s"), target)
    status = os.lstat(f"{root}/s")
    same((stat.S_ISLNK(status.st_mode), status.st_size), (True, len(target)))
    os.symlink("b", f"{root}/t")
    same(get(f"{root}/t"), b"1")
    os.symlink("u", f"{root}/u")
    refused(errno.ELOOP, os.stat, f"{root}/u")


@check
def special_files(root):
    os.mkfifo(f"{root}/fifo", 0o600)
    assert stat.S_ISFIFO(os.stat(f"{root}/fifo").st_mode)
    os.mknod(f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    status = os.stat(f"{root}/null")
    same((stat.S_ISCHR(status.st_mode), status.st_rdev), (True, os.makedev(1, 3)))
    os.mknod(f"{root}/disk", stat.S_IFBLK | 0o600, os.makedev(259, 300))
    same(os.stat(f"{root}/disk").st_rdev, os.makedev(259, 300))
    folder = os.open(root, os.O_DIRECTORY)
    server = socket.socket(socket.AF_UNIX)
    os.fchdir(folder)
    server.bind("socket")
    assert stat.S_ISSOCK(os.stat(f"{root}/socket").st_mode)
    server.listen()
    peer = socket.socket(socket.AF_UNIX)
    peer.connect("socket")
    os.chdir("/")
    os.close(folder)


@check
def attributes(root):
    path = f"{root}/f"
    before = time.time_ns() - 10_000_000
    put(path, b"12345")
    status = os.stat(path)
    assert before <= status.st_mtime_ns <= time.time_ns() + 10_000_000, status.st_mtime_ns
    same((status.st_size, status.st_nlink, status.st_mode), (5, 1, stat.S_IFREG | 0o644))
    os.chmod(path, 0o4751)
    same(os.stat(path).st_mode & 0o7777, 0o4751)
    os.chown(path, USER, GROUP)
    status = os.stat(path)
    same((status.st_uid, status.st_gid), (USER, GROUP))
    same(status.st_mode & 0o7777, 0o751)  # a new owner ends set-user
    for at in (1_700_000_000_123_456_789, 0, -1, 4_294_967_296_000_000_001):
        os.utime(path, ns=(at, at + 1))
        status = os.stat(path)
        same((status.st_atime_ns, status.st_mtime_ns), (at, at + 1))
    changed = os.stat(path).st_ctime_ns
    time.sleep(0.01)
    os.chmod(path, 0o600)
    assert os.stat(path).st_ctime_ns > changed
    usage = os.statvfs(root)
    assert usage.f_blocks > 0 and usage.f_bfree <= usage.f_blocks
    same(usage.f_namemax, 255)


@check
def umasks(root):
    old = os.umask(0o027)
    try:
        os.mkdir(f"{root}/d", 0o777)
        put(f"{root}/f", mode=0o666)
        os.mknod(f"{root}/p", stat.S_IFIFO | 0o666)
    finally:
        os.umask(old)
    modes = [os.stat(f"{root}/{name}").st_mode & 0o7777 for name in "dfp"]
    same(modes, [0o750, 0o640, 0o640])


@check
def permissions(root):
    os.chmod(root, 0o755)
    put(f"{root}/secret", b"1", 0o600)
    put(f"{root}/open", b"2", 0o666)
    os.chmod(f"{root}/open", 0o666)

    def stranger():
        refused(errno.EACCES, get, f"{root}/secret")
        same(get(f"{root}/open"), b"2")
        refused(errno.EACCES, put, f"{root}/new")
        refused(errno.EACCES, os.unlink, f"{root}/open")
        refused(errno.EPERM, os.chmod, f"{root}/open", 0o777)
        refused(errno.EPERM, os.chown, f"{root}/open", USER, GROUP)

    in_child(stranger, USER)
    os.mkdir(f"{root}/sticky")
    os.chmod(f"{root}/sticky", 0o1777)
    put(f"{root}/sticky/mine")
    in_child(lambda: refused(errno.EPERM, os.unlink, f"{root}/sticky/mine"), USER)
    in_child(lambda: put(f"{root}/sticky/theirs"), USER)
    same(os.stat(f"{root}/sticky/theirs").st_uid, USER)


@check
def set_group_directories(root):
    os.mkdir(f"{root}/d")
    os.chown(f"{root}/d", 0, GROUP)
    os.chmod(f"{root}/d", 0o2777)
    put(f"{root}/d/f")
    os.mkdir(f"{root}/d/e")
    same(os.stat(f"{root}/d/f").st_gid, GROUP)
    status = os.stat(f"{root}/d/e")
    same((status.st_gid, status.st_mode & 0o2000), (GROUP, 0o2000))


@check
def privileges_end(root):
    os.chmod(root, 0o777)
    for number, act in enumerate((lambda p: os.truncate(p, 1), lambda p: append(p), lambda p: put(p, b"new"))):
        path = f"{root}/f{number}"
        put(path, b"code")
        os.chmod(path, 0o6777)
        in_child(lambda: act(path), USER)
        same(oct(os.stat(path).st_mode & 0o7777), oct(0o777))


def append(path):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"x", 1)
    os.close(fd)


@check
def xattrs(root):
    path = f"{root}/f"
    put(path)
    same(os.listxattr(path), [])
    os.setxattr(path, "user.a", b"1")
    refused(errno.EEXIST, os.setxattr, path, "user.a", b"2", os.XATTR_CREATE)
    refused(errno.ENODATA, os.setxattr, path, "user.b", b"2", os.XATTR_REPLACE)
    os.setxattr(path, "user.b", b"", os.XATTR_CREATE)
    os.setxattr(path, "trusted.t", b"root")
    same(os.getxattr(path, "user.a"), b"1")
    same(os.getxattr(path, "user.b"), b"")
    same(sorted(os.listxattr(path)), ["trusted.t", "user.a", "user.b"])
    value = os.urandom(60_000)
    os.setxattr(path, "user.large", value)
    same(os.getxattr(path, "user.large"), value)
    small = ctypes.create_string_buffer(10)
    refused(errno.ERANGE, call, "getxattr", os.fsencode(path), b"user.large", small, 10)
    os.removexattr(path, "user.a")
    refused(errno.ENODATA, os.getxattr, path, "user.a")
    refused(errno.ENODATA, os.removexattr, path, "user.a")
    refused(errno.EOPNOTSUPP, os.setxattr, path, "system.posix_acl_access", struct.pack("<I", 2))


@check
def privileged_xattrs(root):
    path = f"{root}/f"
    put(path, mode=0o666)
    # cap_net_bind_service of version 2, in effect: what setcap(8) writes.
    capabilities = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    os.setxattr(path, "security.capability", capabilities)
    same(os.getxattr(path, "security.capability"), capabilities)
    os.setxattr(path, "trusted.t", b"root")

    def stranger():
        refused(errno.EPERM, os.setxattr, path, "trusted.t", b"mine")
        refused(errno.EPERM, os.setxattr, path, "security.capability", capabilities)
        refused(errno.ENODATA, os.getxattr, path, "trusted.t")

    in_child(stranger, USER)
    same(sorted(os.listxattr(path)), ["security.capability", "trusted.t"])
    os.removexattr(path, "security.capability")
    refused(errno.ENODATA, os.getxattr, path, "security.capability")


@check
def listings(root):
    wanted = {f"entry-{i:05}-{'x' * (i % 90)}" for i in range(700)}
    for name in wanted:
        os.close(os.open(f"{root}/{name}", os.O_CREAT | os.O_WRONLY))
    same(set(os.listdir(root)), wanted)
    with os.scandir(root) as entries:
        same({entry.name for entry in entries if entry.is_file(follow_symlinks=False)}, wanted)
    seen = []
    with os.scandir(root) as entries:
        for number, entry in enumerate(entries):
            seen.append(entry.name)
            if number % 2 == 0:
                os.unlink(entry.path)
    same(len(seen), len(set(seen)))
    same(set(seen), wanted)
    same(len(os.listdir(root)), 350)
    same(sum(len(os.stat(f"{root}/{name}").st_mode.to_bytes(4)) for name in os.listdir(root)), 1400)

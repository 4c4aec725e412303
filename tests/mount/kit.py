"""What the checks of a mount are written with."""

import ctypes
import errno
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
CHECKS = {}
USER = 12345
GROUP = 23456


def check(function):
    CHECKS[function.__name__] = function
    return function


def refused(code, act, *args, **options):
    try:
        act(*args, **options)
    except OSError as reason:
        assert reason.errno == code, f"{errno.errorcode[reason.errno]}, not {errno.errorcode[code]}"
        return
    raise AssertionError(f"done, not {errno.errorcode[code]}")


def same(found, wanted):
    assert found == wanted, f"{found!r}, not {wanted!r}"


def put(path, data=b"", mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def get(path):
    with open(path, "rb") as file:
        return file.read()


def in_child(act, uid=None):
    """Runs `act` in a process of its own, as another user if asked; its failure is ours."""
    pid = os.fork()
    if pid == 0:
        try:
            if uid is not None:
                os.setgroups([])
                os.setgid(GROUP)
                os.setuid(uid)
            act()
            os._exit(0)
        except BaseException as reason:  # whatever it is, the parent has to know
            print(f"in the child: {reason!r}", file=sys.stderr)
            os._exit(1)
    same(os.waitpid(pid, 0)[1], 0)


def call(name, *args):
    result = getattr(libc, name)(*args)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def rename2(old, new, flags):
    call("renameat2", -100, os.fsencode(old), -100, os.fsencode(new), flags)


def allocate(fd, mode, offset, length):
    call("fallocate", fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length))

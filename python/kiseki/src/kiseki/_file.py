"""Files of a namespace as Python's own files."""

from __future__ import annotations

import io
import os
import struct
from collections import deque
from typing import Any, Deque, Tuple

from ._wire import DATA_SIZE_MAX, Buffer, CallRefused, Fields, Link, Verb, pack_text

_READ, _WRITE, _APPEND, _CREATE, _EXCLUSIVE, _TRUNCATE = 1, 2, 4, 8, 16, 32
_FLAGS = {
    "r": _READ,
    "w": _WRITE | _CREATE | _TRUNCATE,
    "a": _WRITE | _APPEND | _CREATE,
    "x": _WRITE | _CREATE | _EXCLUSIVE,
}
# Pieces of one large read that are asked for before the first has come.
_AHEAD = 4
_ATTRIBUTES = "QIIIIQQqqq"


def raised(reason: CallRefused, *paths: str) -> OSError:
    """The exception for what the client process refused: the subclass of OSError that the errno has."""
    return OSError(reason.errno, os.strerror(reason.errno), *paths[:1])


def stat_of(fields: Fields) -> os.stat_result:
    inode, mode, uid, gid, links, size, blocks, *times = fields.unpack(_ATTRIBUTES)
    seconds = [time // 10**9 for time in times]
    more = {"st_blocks": blocks, "st_blksize": DATA_SIZE_MAX}
    for name, time in zip(("st_atime", "st_mtime", "st_ctime"), times):
        more[name + "_ns"] = time
    precise = {
        name: time / 1e9 for name, time in zip(("st_atime", "st_mtime", "st_ctime"), times)
    }
    return os.stat_result((mode, inode, 0, links, uid, gid, size, *seconds), {**more, **precise})


def flags_of(mode: str) -> Tuple[int, bool]:
    """Flags of an open, and whether content is text."""
    kinds = [letter for letter in mode if letter in _FLAGS]
    if len(kinds) != 1 or set(mode) - set("rwaxbt+") or len(set(mode)) != len(mode):
        raise ValueError("invalid mode: %r" % mode)
    if "b" in mode and "t" in mode:
        raise ValueError("can't have text and binary mode at once")
    flags = _FLAGS[kinds[0]]
    return (flags | _READ | _WRITE if "+" in mode else flags), "b" not in mode


class RawFile(io.RawIOBase):
    """An open file without a buffer of its own. One thread at a time moves its position."""

    def __init__(self, link: Link, path: str, mode: str, flags: int, permissions: int) -> None:
        super().__init__()
        self.name = path
        self.mode = mode
        self._link = link
        self._flags = flags
        self._at = 0
        self._handle = -1
        opened = self._fields(Verb.OPEN, struct.pack("<HI", flags, permissions), pack_text(path))
        self._handle = opened.number("Q")
        if flags & _APPEND:
            self._at = stat_of(opened).st_size

    def _fields(self, verb: Verb, *parts: Buffer) -> Fields:
        try:
            return Fields(self._link.call(verb, *parts))
        except CallRefused as reason:
            raise raised(reason, self.name) from None

    def _on_handle(self, verb: Verb, *parts: Buffer) -> Fields:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        return self._fields(verb, struct.pack("<Q", self._handle), *parts)

    def readable(self) -> bool:
        return bool(self._flags & _READ)

    def writable(self) -> bool:
        return bool(self._flags & _WRITE)

    def seekable(self) -> bool:
        return True

    def stat(self) -> os.stat_result:
        return stat_of(self._on_handle(Verb.ATTRIBUTES))

    def pread_into(self, target: memoryview, offset: int) -> int:
        """Fills ``target`` from ``offset`` on; fewer bytes at the end of the file alone."""
        if not self.readable():
            raise io.UnsupportedOperation("not readable")
        under_way: Deque[Tuple[int, int]] = deque()
        asked = done = 0
        try:
            while asked < len(target) or under_way:
                while asked < len(target) and len(under_way) < _AHEAD:
                    size = min(DATA_SIZE_MAX, len(target) - asked)
                    words = struct.pack("<QQI", self._handle, offset + asked, size)
                    sink = target[asked : asked + size]
                    under_way.append((self._link.begin(Verb.READ, words, sink=sink), size))
                    asked += size
                number, size = under_way.popleft()
                count = len(self._link.finish(number))
                done += count
                if count < size:
                    break
        except CallRefused as reason:
            raise raised(reason, self.name) from None
        finally:
            for number, _ in under_way:
                try:
                    self._link.finish(number)
                except CallRefused:
                    pass  # the first refusal is told
        return done

    def readinto(self, target: Any) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        count = self.pread_into(memoryview(target).cast("B"), self._at)
        self._at += count
        return count

    def readall(self) -> bytes:
        """Everything from the position on."""
        pieces = []
        while True:
            left = max(self.stat().st_size - self._at, 64 * 1024)
            piece = bytearray(left)
            count = self.readinto(piece)
            pieces.append(piece if count == left else piece[:count])
            if count < left:
                return b"".join(pieces)

    def write(self, source: Any) -> int:
        if not self.writable():
            raise io.UnsupportedOperation("not writable")
        data = memoryview(source).cast("B")
        done = 0
        while done < len(data):
            piece = data[done : done + DATA_SIZE_MAX]
            words = struct.pack("<QI", self._at, len(piece))
            done += (count := self._on_handle(Verb.WRITE, words, piece).number("I"))
            self._at += count
        if self._flags & _APPEND:
            self._at = self.stat().st_size
        return done

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        start = 0
        if whence == os.SEEK_CUR:
            start = self._at
        elif whence == os.SEEK_END:
            start = self.stat().st_size
        at = start + offset
        if at < 0 or whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise OSError(22, "Invalid argument", self.name)
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def truncate(self, size: "int | None" = None) -> int:
        if not self.writable():
            raise io.UnsupportedOperation("not writable")
        wanted = self._at if size is None else size
        self._on_handle(Verb.TRUNCATE, struct.pack("<Q", wanted))
        return wanted

    def sync(self) -> None:
        """Returns when what was written is on the nodes' disks."""
        self._on_handle(Verb.FSYNC, struct.pack("<H", 0))

    def close(self) -> None:
        """What was written is stored when this returns; raises when it could not be."""
        if self.closed:
            return
        handle, self._handle = self._handle, -1
        super().close()
        if handle >= 0 and not (self._link.is_broken or self._link.is_foreign):
            self._fields(Verb.CLOSE_HANDLE, struct.pack("<Q", handle))

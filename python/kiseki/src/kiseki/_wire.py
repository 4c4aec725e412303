"""Frames to and from the client process: see docs/formats/client-process.md of the source tree."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections import deque
from enum import IntEnum
from typing import Callable, Deque, Dict, Optional, Sequence, Tuple, Union

PROTOCOL_VERSION = 1
DATA_SIZE_MAX = 4 * 1024 * 1024
_BODY_SIZE_MAX = DATA_SIZE_MAX + 64 * 1024
_HEADER = struct.Struct("<IIHH")
_DONE, _PROGRESS = 1, 2

Buffer = Union[bytes, bytearray, memoryview]


class Verb(IntEnum):
    """What a request asks for."""

    HELLO = 1
    CLOSE = 2
    OPEN = 10
    CLOSE_HANDLE = 11
    READ = 12
    WRITE = 13
    FSYNC = 14
    TRUNCATE = 15
    ATTRIBUTES = 16
    OPEN_DIRECTORY = 17
    READ_DIRECTORY = 18
    STAT = 20
    MAKE_DIRECTORY = 21
    UNLINK = 22
    REMOVE_DIRECTORY = 23
    RENAME = 24
    READ_LINK = 25
    MAKE_SYMLINK = 26
    CHANGE = 27
    FILE_SYSTEM = 28
    READ_FILE = 30
    WRITE_FILE = 31
    CACHE_STATS = 40
    CACHE_MODE = 41
    WIPE = 42
    STAGE = 50
    STAGE_STATUS = 51
    RELEASE = 52
    RELEASE_ALL = 53
    DECLARE_WORKFLOW = 60
    END_WORKFLOW = 61
    ADVANCE_PHASE = 62
    WORKFLOW_STATUS = 63


class KisekiError(OSError):
    """The client process does not do what was asked of it; ``errno`` says why. Files that are not there and the like are the
    usual subclasses of :class:`OSError` instead."""


class CallRefused(Exception):
    """What the client process answered instead of doing it."""

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(errno, message)
        self.errno = errno
        self.message = message


def pack_text(value: Union[str, bytes]) -> bytes:
    raw = os.fsencode(value) if isinstance(value, str) else value
    if len(raw) > 0xFFFF:
        raise ValueError("A path or text is too long")
    return struct.pack("<H", len(raw)) + raw


class Fields:
    """Reads the fields of an answer in order."""

    def __init__(self, body: Buffer) -> None:
        self._body = memoryview(body)
        self._at = 0

    def unpack(self, form: str) -> Tuple[int, ...]:
        found = struct.unpack_from("<" + form, self._body, self._at)
        self._at += struct.calcsize("<" + form)
        return found

    def number(self, form: str) -> int:
        return self.unpack(form)[0]

    def take(self, size: int) -> bytes:
        taken = self._body[self._at : self._at + size]
        if len(taken) != size:
            raise KisekiError(71, "The client process broke the protocol")
        self._at += size
        return bytes(taken)

    def raw_text(self) -> bytes:
        return self.take(self.number("H"))

    def text(self) -> str:
        return os.fsdecode(self.raw_text())

    def rest(self) -> memoryview:
        return self._body[self._at :]


Progress = Callable[[Fields], None]


class _Pending:
    def __init__(self, sink: Optional[memoryview]) -> None:
        self.sink = sink
        self.events: Deque[Tuple[int, int, Buffer]] = deque()
        """Kind, status and body of what came and was not looked at yet."""


class Link:
    """One connection to the client process. Threads share it: whoever waits first reads for all who wait."""

    def __init__(self, path: str, token: bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._pending: Dict[int, _Pending] = {}
        self._id_next = 1
        self._is_read = False
        self._fault: Optional[str] = None
        self._owner = os.getpid()
        try:
            self._socket.connect(path)
            hello = self.call(Verb.HELLO, struct.pack("<H", PROTOCOL_VERSION), token)
        except OSError as reason:
            self._socket.close()
            raise KisekiError(107, "Cannot reach the client process: %s" % reason) from reason
        if Fields(hello).number("H") != PROTOCOL_VERSION:
            self._socket.close()
            raise KisekiError(93, "The client process speaks another version")

    @property
    def is_broken(self) -> bool:
        return self._fault is not None

    @property
    def is_foreign(self) -> bool:
        """It is of the process from which this one was forked."""
        return self._owner != os.getpid()

    def close(self) -> None:
        self._break("The client is closed")

    def __del__(self) -> None:
        self._socket.close()

    def call(
        self,
        verb: Verb,
        *parts: Buffer,
        sink: Optional[memoryview] = None,
        progress: Optional[Progress] = None,
    ) -> Buffer:
        """The body of the answer; into ``sink``, of which the answer is then a view, where one is given."""
        return self.finish(self.begin(verb, *parts, sink=sink), progress)

    def begin(self, verb: Verb, *parts: Buffer, sink: Optional[memoryview] = None) -> int:
        """Sends a request; :meth:`finish` must be called with what this returns."""
        if self.is_foreign:
            raise KisekiError(9, "It was opened by another process")
        size = sum(len(part) for part in parts)
        with self._changed:
            number = self._id_next
            self._id_next = number % 0xFFFFFFFF + 1
            self._pending[number] = _Pending(sink)
        header = _HEADER.pack(_HEADER.size - 4 + size, number, int(verb), 0)
        try:
            with self._sending:
                self._send([header, *parts])
        except OSError as reason:
            self._break("The client process has ended (%s)" % reason)
        except BaseException:
            self._break("A call was interrupted")
            raise
        return number

    def finish(self, number: int, progress: Optional[Progress] = None) -> Buffer:
        pending = self._pending[number]
        try:
            while True:
                event = self._next(pending)
                if event is None:
                    self._read_for(pending)
                    continue
                kind, status, body = event
                if kind == _PROGRESS:
                    if progress is not None:
                        progress(Fields(body))
                    continue
                if status != 0:
                    raise CallRefused(status, Fields(body).text())
                return body
        finally:
            with self._changed:
                self._pending.pop(number, None)

    def _next(self, pending: _Pending) -> Optional[Tuple[int, int, Buffer]]:
        """What came for the call; None: it is on this thread to read."""
        with self._changed:
            while not pending.events:
                if self._fault is not None:
                    raise KisekiError(107, self._fault)
                if not self._is_read:
                    self._is_read = True
                    return None
                self._changed.wait()
            return pending.events.popleft()

    def _read_for(self, pending: _Pending) -> None:
        """Reads frames until one is for ``pending``."""
        try:
            while not pending.events and self._fault is None:
                self._read_frame()
        except OSError as reason:
            self._break("The client process has ended (%s)" % reason)
        except BaseException:
            self._break("A call was interrupted")
            raise
        finally:
            with self._changed:
                self._is_read = False
                self._changed.notify_all()

    def _read_frame(self) -> None:
        header = bytearray(_HEADER.size)
        self._fill(memoryview(header))
        size, number, kind, status = _HEADER.unpack(header)
        size -= _HEADER.size - 4
        if not 0 <= size <= _BODY_SIZE_MAX:
            raise OSError("a frame of %d bytes" % size)
        with self._changed:
            pending = self._pending.get(number)
        body: Buffer = bytearray(size)
        if pending is not None and pending.sink is not None and (kind, status) == (_DONE, 0):
            if size > len(pending.sink):
                raise OSError("an answer of %d bytes" % size)
            body = pending.sink[:size]
        self._fill(memoryview(body))
        if pending is not None:
            with self._changed:
                pending.events.append((kind, status, body))
                self._changed.notify_all()

    def _fill(self, target: memoryview) -> None:
        while len(target) > 0:
            count = self._socket.recv_into(target)
            if count == 0:
                raise OSError("end of the connection")
            target = target[count:]

    def _send(self, parts: Sequence[Buffer]) -> None:
        left = [memoryview(part) for part in parts if len(part) > 0]
        while left:
            count = self._socket.sendmsg(left)
            while left and count >= len(left[0]):
                count -= len(left[0])
                left.pop(0)
            if left:
                left[0] = left[0][count:]

    def _break(self, fault: str) -> None:
        with self._changed:
            if self._fault is None:
                self._fault = fault
            self._changed.notify_all()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was quicker
        self._socket.close()

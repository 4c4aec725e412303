"""The client process: found, started, and ended with the client that started it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from typing import List, Mapping, Optional

from ._wire import KisekiError

_INSTALLED = "/opt/kiseki/bin/kiseki-client"
_END_SECONDS = 60.0
# Exit codes of the program, and what they mean to whoever called.
_ERRNO_OF_EXIT = {2: 22, 3: 111, 4: 13}


def find_program(program: Optional[str]) -> str:
    """Where ``kiseki-client`` is: as said, ``KISEKI_CLIENT``, the search path, or where it is installed."""
    found = program or os.environ.get("KISEKI_CLIENT") or shutil.which("kiseki-client") or _INSTALLED
    if not os.access(found, os.X_OK):
        raise KisekiError(2, "Cannot find kiseki-client: install it, or name it by KISEKI_CLIENT", found)
    return found


class ClientProcess:
    """One ``kiseki-client serve``, private to this Python process."""

    def __init__(self, program: str, words: List[str], environment: Mapping[str, str]) -> None:
        self.owner = os.getpid()
        self.token = secrets.token_bytes(32)
        self._folder = tempfile.mkdtemp(prefix="kiseki-", dir=os.environ.get("XDG_RUNTIME_DIR"))
        self.path = os.path.join(self._folder, "socket")
        self.notes: List[str] = []
        try:
            self._process = subprocess.Popen(
                [program, "serve", "--socket", self.path, *words],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as reason:
            self._remove()
            raise KisekiError(reason.errno or 5, "Cannot start %s" % program) from reason
        try:
            self._await_ready()
        except BaseException:
            self.end(0)
            raise

    def _await_ready(self) -> None:
        assert self._process.stdin and self._process.stdout and self._process.stderr
        try:
            self._process.stdin.write(self.token.hex().encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended, and says why below
        line = self._process.stdout.readline(1 << 16)
        if not line.startswith(b"{"):
            errors = self._process.stderr.read(1 << 16).decode(errors="replace")
            raise self._failure(errors, self._process.wait())
        self.notes = [str(note) for note in json.loads(line).get("notes", [])]
        # Nobody reads what it logs; a pipe that is full would stop it.
        threading.Thread(target=_drain, args=(self._process.stderr,), daemon=True).start()

    @staticmethod
    def _failure(errors: str, code: int) -> KisekiError:
        message = errors.strip()
        for line in message.splitlines():
            try:
                found = json.loads(line)["error"]
                message = " ".join(str(found[name]) for name in ("message", "advice") if found[name])
            except (ValueError, KeyError, TypeError):
                continue
        return KisekiError(_ERRNO_OF_EXIT.get(code, 5), message or "The client process ended with %d" % code)

    def end(self, seconds: float = _END_SECONDS) -> None:
        """Lets it store what was written and wipe its cache; kills it when it takes too long."""
        if os.getpid() != self.owner:
            return  # a fork of the process whose client this is
        if self._process.stdin and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except OSError:
                pass  # it has ended already
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None and seconds > 0:
                stream.close()
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _drain(stream: object) -> None:
    read = getattr(stream, "read1")
    try:
        while read(1 << 16):
            pass
    except (OSError, ValueError):
        pass  # closed with its client

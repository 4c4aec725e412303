"""The client of a namespace."""

from __future__ import annotations

import io
import logging
import os
import struct
import threading
import weakref
from dataclasses import dataclass
from typing import IO, Any, Callable, Dict, Iterator, List, NoReturn, Optional, Tuple, Union

from ._file import RawFile, flags_of, raised, stat_of
from ._process import ClientProcess, find_program
from ._wire import Buffer, CallRefused, Fields, KisekiError, Link, Progress, Verb, pack_text

_log = logging.getLogger("kiseki")
_BUFFER_SIZE = 1024 * 1024

Path = Union[str, "os.PathLike[str]"]


class _Usual(str):
    """A default, told from the same word said by the caller."""


class _UsualNumber(int):
    """A default, told from the same number said by the caller."""


@dataclass(frozen=True)
class CacheStatsView:
    """What the client's cache did since it started; bytes are those of now."""

    l1_hits: int
    l2_hits: int
    misses: int
    l1_bytes: int
    l2_bytes: int
    wipes: int

    def __str__(self) -> str:
        words = ", ".join("%s=%d" % item for item in self.__dict__.items())
        return "CacheStats(%s)" % words


@dataclass(frozen=True)
class StageProgress:
    """How far the staging of a dataset has come."""

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int


@dataclass(frozen=True)
class DirEntry:
    """A name in a folder, with what it stands for."""

    name: str
    path: str
    stat: os.stat_result

    def is_dir(self) -> bool:
        return self.stat.st_mode & 0o170000 == 0o040000

    def is_file(self) -> bool:
        return self.stat.st_mode & 0o170000 == 0o100000

    def is_symlink(self) -> bool:
        return self.stat.st_mode & 0o170000 == 0o120000


class Client:
    """Files of one namespace, behind a cache of its own.

    Each client is a private process with a cache in memory (L1) and on local disk (L2). What the constructor says wins over
    ``KISEKI_*`` variables, those over the policy of the tenant and the cluster, whose ceilings then hold.

    A client may be used by many threads, and by processes that were forked or to which it was pickled while the one that
    made it lives; files that are open belong to the process that opened them.
    """

    def __init__(
        self,
        cache_mode: str = _Usual("organic"),
        cache_dir: str = _Usual("/tmp/kiseki-cache"),
        cache_l2_max: Optional[int] = None,
        meta_ttl_ms: int = _UsualNumber(5000),
        *,
        address: Optional[str] = None,
        tenant: Optional[str] = None,
        namespace: Optional[str] = None,
        token_file: Optional[str] = None,
        ca: Optional[str] = None,
        cert: Optional[str] = None,
        key: Optional[str] = None,
        config_dir: Optional[str] = None,
        read_only: bool = False,
        cache_l1_max: Optional[int] = None,
        cache_pool_id: Optional[str] = None,
        log_file: Optional[str] = None,
        program: Optional[str] = None,
    ) -> None:
        """Starts the client.

        :param cache_mode: ``pinned``, ``organic`` or ``bypass``
        :param cache_dir: folder of the cache on local disk
        :param cache_l2_max: bytes there, 50 GiB when left out
        :param meta_ttl_ms: how long names and attributes are believed
        :param address: ``host:9100,…`` of storage nodes; ``KISEKI_DATA_ADDR`` when left out
        :param tenant: name or id; ``KISEKI_TENANT`` when left out
        :param namespace: a bucket of S3; ``KISEKI_NAMESPACE`` when left out
        :param token_file: token of a node on this machine
        :param ca: PEM of the authority of the nodes' certificates
        :param cert: PEM of the tenant's certificate
        :param key: PEM key of ``cert``
        :param config_dir: config directory of a node on this machine, for its token and certificate
        :param read_only: nothing is changed
        :param cache_l1_max: bytes of the cache in memory, 256 MiB when left out
        :param cache_pool_id: a pool that staging has left, to be adopted
        :param log_file: where the client writes one JSON object a line: ids, codes, never names or content
        :param program: where ``kiseki-client`` is
        :raises KisekiError: when there is no such program, no node answers, or the client is not let in
        """
        flags = {
            "--data-addr": address,
            "--tenant": tenant,
            "--namespace": namespace,
            "--token-file": token_file,
            "--ca": ca,
            "--cert": cert,
            "--key": key,
            "--config-dir": config_dir,
        }
        words = [word for name, value in flags.items() if value is not None for word in (name, value)]
        words += _settings(cache_mode, cache_dir, cache_l1_max, cache_l2_max, meta_ttl_ms)
        if read_only:
            words.append("--read-only")
        if log_file is not None:
            words += ["-o", _option("log_file", log_file)]
        environment = {} if cache_pool_id is None else {"KISEKI_CACHE_POOL_ID": cache_pool_id}
        self._process: Optional[ClientProcess] = ClientProcess(find_program(program), words, environment)
        self._reach = (self._process.path, self._process.token)
        self._links: Dict[int, Link] = {}
        self._is_closed = False
        self._closing = threading.Lock()
        weakref.finalize(self, self._process.end)
        for note in self._process.notes:
            _log.warning("%s", note)

    # --- the cache, staging, workflows

    def stage(self, namespace_path: Path, *, timeout: Optional[float] = None, progress: Optional[Callable[[StageProgress], None]] = None) -> None:
        """Fetches a file, or all files below a folder, into the local cache and keeps them there until they are released.

        As of now: stage again to refresh. What is staged already is not fetched again.

        :param timeout: seconds after which it is given up
        :param progress: called with a :class:`StageProgress` now and then
        :raises TimeoutError: when it took too long; what was fetched is kept, and the next call goes on there
        """

        def report(fields: Fields) -> None:
            if progress is not None:
                progress(StageProgress(*fields.unpack("QQQQ")))

        millis = 0 if timeout is None else max(1, round(timeout * 1000))
        self._call(Verb.STAGE, struct.pack("<Q", millis), pack_text(os.fspath(namespace_path)), progress=report)

    def stage_status(self) -> List[str]:
        """Paths of what is staged."""
        fields = self._call(Verb.STAGE_STATUS)
        return [fields.text() for _ in range(fields.number("I"))]

    def release(self, namespace_path: Path) -> None:
        """Lets go of what was staged there."""
        self._call(Verb.RELEASE, pack_text(os.fspath(namespace_path)))

    def release_all(self) -> None:
        """Lets go of everything that was staged."""
        self._call(Verb.RELEASE_ALL)

    def cache_stats(self) -> CacheStatsView:
        """What the cache did, and how large it is."""
        found = self._call(Verb.CACHE_STATS).unpack("10Q")
        l1_hits, l2_hits, misses, _bypasses, _errors, l1_bytes, l2_bytes, _hits, _misses, wipes = found
        return CacheStatsView(l1_hits, l2_hits, misses, l1_bytes, l2_bytes, wipes)

    def cache_mode(self) -> str:
        """``pinned``, ``organic`` or ``bypass``: as it is after policy had its say."""
        return self._call(Verb.CACHE_MODE).text()

    def declare_workflow(
        self, *, profile: str = "", phase: int = 0, tag: str = "", ttl: Optional[int] = None
    ) -> int:
        """Tells the advisory service of a new workflow; its id has 128 bits.

        Until it is ended, what this client asks of nodes says that it belongs to it. Where no advisory service answers the id
        is known to this client alone: no job fails for want of advice.

        :param profile: ``ai-training``, ``ai-inference``, ``hpc-checkpoint``, ``batch-etl`` or ``interactive``
        :param phase: number of the first phase
        :param tag: what the phase is called
        :param ttl: seconds after which it is over, an hour when left out
        """
        words = pack_text(profile), struct.pack("<Q", phase), pack_text(tag), struct.pack("<I", ttl or 0)
        body = self._call(Verb.DECLARE_WORKFLOW, *words)
        return int.from_bytes(body.take(16), "big")

    def end_workflow(self, workflow_id: int) -> None:
        """Ends a workflow that was declared."""
        self._call(Verb.END_WORKFLOW, workflow_id.to_bytes(16, "big"))

    def advance_phase(self, workflow_id: int, phase: int, tag: str = "") -> None:
        """The workflow goes on to another phase, of a greater number."""
        words = workflow_id.to_bytes(16, "big") + struct.pack("<Q", phase) + pack_text(tag)
        self._call(Verb.ADVANCE_PHASE, words)

    def wipe(self) -> None:
        """Erases the whole cache now; plaintext is overwritten first."""
        self._call(Verb.WIPE)

    def close(self) -> None:
        """Stores what was written, wipes the cache and ends the client process."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            process, self._process = self._process, None
            link = self._links.get(os.getpid())
            try:
                if process is not None and process.owner == os.getpid():
                    link = link or Link(*self._reach)
                    link.call(Verb.CLOSE)
            except CallRefused as reason:
                raise KisekiError(reason.errno, reason.message) from None
            finally:
                if link is not None:
                    link.close()
                if process is not None:
                    process.end()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- files

    def open(
        self,
        path: Path,
        mode: str = "r",
        buffering: int = -1,
        encoding: Optional[str] = None,
        errors: Optional[str] = None,
        newline: Optional[str] = None,
        *,
        permissions: int = 0o644,
    ) -> IO[Any]:
        """Opens a file as the built-in ``open`` does. What was written is stored when it is closed or ``flush``\\ ed and synced."""
        flags, is_text = flags_of(mode)
        if is_text and buffering == 0:
            raise ValueError("can't have unbuffered text I/O")
        if not is_text and (encoding or errors or newline):
            raise ValueError("binary mode takes no encoding, errors or newline")
        raw = RawFile(self._link(), os.fspath(path), mode, flags, permissions)
        if buffering == 0:
            return raw  # type: ignore[return-value]
        size = _BUFFER_SIZE if buffering in (-1, 1) else buffering
        buffered: Any
        if raw.readable() and raw.writable():
            buffered = io.BufferedRandom(raw, size)
        else:
            buffered = (io.BufferedReader if raw.readable() else io.BufferedWriter)(raw, size)
        if not is_text:
            return buffered  # type: ignore[no-any-return]
        text = io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
        return text

    def read_bytes(self, path: Path) -> bytes:
        """All bytes of a file; small files take one call."""
        words = struct.pack("<QI", 0, _BUFFER_SIZE)
        fields = self._call(Verb.READ_FILE, words, pack_text(os.fspath(path)), paths=(path,))
        size = fields.number("Q")
        first = fields.rest()
        if len(first) >= size:
            return bytes(first)
        with self.open(path, "rb", 0) as file:
            return file.read()  # type: ignore[no-any-return]

    def write_bytes(self, path: Path, data: Buffer, *, permissions: int = 0o644) -> int:
        """Replaces the content of a file; stored when this returns."""
        with self.open(path, "wb", 0, permissions=permissions) as file:
            return file.write(data)

    def stat(self, path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        words = struct.pack("<H", 1 if follow_symlinks else 0)
        return stat_of(self._call(Verb.STAT, words, pack_text(os.fspath(path)), paths=(path,)))

    def exists(self, path: Path) -> bool:
        try:
            self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def scandir(self, path: Path = "/") -> Iterator[DirEntry]:
        """Entries of a folder, without ``.`` and ``..``."""
        folder = os.fspath(path)
        link = self._link()
        opened = self._call(Verb.OPEN_DIRECTORY, pack_text(folder), paths=(path,), link=link)
        handle = opened.number("Q")
        cookie, is_end = 0, 0
        try:
            while not is_end:
                words = struct.pack("<QQ", handle, cookie)
                fields = self._call(Verb.READ_DIRECTORY, words, paths=(path,), link=link)
                cookie, is_end, count = fields.unpack("QHI")
                for _ in range(count):
                    name = fields.text()
                    yield DirEntry(name, os.path.join(folder, name), stat_of(fields))
        finally:
            if not link.is_broken:
                self._call(Verb.CLOSE_HANDLE, struct.pack("<Q", handle), link=link)

    def listdir(self, path: Path = "/") -> List[str]:
        return [entry.name for entry in self.scandir(path)]

    def walk(self, top: Path = "/") -> Iterator[Tuple[str, List[str], List[str]]]:
        """Folders below ``top``, each with the names of its folders and of everything else in it, as ``os.walk``."""
        entries = sorted(self.scandir(top), key=lambda entry: entry.name)
        folders = [entry for entry in entries if entry.is_dir()]
        yield os.fspath(top), [entry.name for entry in folders], [entry.name for entry in entries if not entry.is_dir()]
        for folder in folders:
            yield from self.walk(folder.path)

    def mkdir(self, path: Path, mode: int = 0o755) -> None:
        self._call(Verb.MAKE_DIRECTORY, struct.pack("<I", mode), pack_text(os.fspath(path)), paths=(path,))

    def makedirs(self, path: Path, mode: int = 0o755, exist_ok: bool = False) -> None:
        """Makes a folder and those above it."""
        parts = [part for part in os.fspath(path).split("/") if part]
        for count in range(1, len(parts) + 1):
            try:
                self.mkdir("/" + "/".join(parts[:count]), mode)
            except FileExistsError:
                if count == len(parts) and not exist_ok:
                    raise

    def unlink(self, path: Path) -> None:
        self._call(Verb.UNLINK, pack_text(os.fspath(path)), paths=(path,))

    remove = unlink

    def rmdir(self, path: Path) -> None:
        self._call(Verb.REMOVE_DIRECTORY, pack_text(os.fspath(path)), paths=(path,))

    def rename(self, source: Path, target: Path) -> None:
        """Gives a file or folder another name; what had that name is replaced, as rename(2) does."""
        names = pack_text(os.fspath(source)) + pack_text(os.fspath(target))
        self._call(Verb.RENAME, struct.pack("<H", 0), names, paths=(source, target))

    replace = rename

    def readlink(self, path: Path) -> str:
        return self._call(Verb.READ_LINK, pack_text(os.fspath(path)), paths=(path,)).text()

    def symlink(self, target: Path, path: Path) -> None:
        names = pack_text(os.fspath(target)) + pack_text(os.fspath(path))
        self._call(Verb.MAKE_SYMLINK, names, paths=(path,))

    def chmod(self, path: Path, mode: int) -> None:
        self._change(path, 1, mode=mode)

    def truncate(self, path: Path, size: int) -> None:
        if size < 0:
            raise OSError(22, os.strerror(22), os.fspath(path))
        self._change(path, 8, size=size)

    def utime(self, path: Path, ns: Tuple[int, int]) -> None:
        """Sets the times of access and modification, in nanoseconds."""
        self._change(path, 16 | 32, accessed=ns[0], modified=ns[1])

    def _change(self, path: Path, mask: int, mode: int = 0, size: int = 0, accessed: int = 0, modified: int = 0) -> None:
        words = struct.pack("<HHIIIQqq", mask, 1, mode, 0, 0, size, accessed, modified)
        self._call(Verb.CHANGE, words, pack_text(os.fspath(path)), paths=(path,))

    # --- how it is done

    def _link(self) -> Link:
        """This process' own connection."""
        if self._is_closed:
            raise KisekiError(107, "The client is closed")
        pid = os.getpid()
        link = self._links.get(pid)
        if link is None or link.is_broken:
            link = self._links[pid] = Link(*self._reach)
        return link

    def _call(
        self,
        verb: Verb,
        *parts: Buffer,
        paths: Tuple[Path, ...] = (),
        progress: Optional[Progress] = None,
        link: Optional[Link] = None,
    ) -> Fields:
        try:
            return Fields((link or self._link()).call(verb, *parts, progress=progress))
        except CallRefused as reason:
            _raise(reason, paths)

    def __getstate__(self) -> Dict[str, object]:
        return {"_reach": self._reach, "_is_closed": self._is_closed}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self._reach = state["_reach"]
        self._is_closed = state["_is_closed"]
        self._process = None
        self._links = {}
        self._closing = threading.Lock()


def _raise(reason: CallRefused, paths: Tuple[Path, ...]) -> NoReturn:
    if paths:
        raise raised(reason, *[os.fspath(path) for path in paths]) from None
    if reason.errno == 110:
        raise TimeoutError(reason.errno, reason.message) from None
    raise KisekiError(reason.errno, reason.message) from None


def _settings(
    mode: str, folder: str, l1_max: Optional[int], l2_max: Optional[int], meta_ttl_ms: int
) -> List[str]:
    """Words for what was said; what was not is the environment's, or usual."""
    said: Dict[str, object] = {"cache_l1_max": l1_max, "cache_l2_max": l2_max}
    if not isinstance(mode, _Usual):
        said["cache_mode"] = mode
    if not isinstance(folder, _Usual):
        said["cache_dir"] = os.path.abspath(folder)
    if not isinstance(meta_ttl_ms, _UsualNumber):
        said["meta_ttl_ms"] = meta_ttl_ms
    return [word for name, value in said.items() if value is not None for word in ("-o", _option(name, value))]


def _option(name: str, value: object) -> str:
    text = str(value)
    if "," in text:
        raise ValueError("%s cannot hold a comma: %r" % (name, text))
    return "%s=%s" % (name, text)

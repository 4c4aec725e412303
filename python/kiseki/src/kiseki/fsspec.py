"""A file system of fsspec: ``kiseki://namespace/path``. Pandas, pyarrow, Dask and others open such addresses by themselves."""

from __future__ import annotations

import stat
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Tuple, Union, cast

from fsspec.spec import AbstractFileSystem

from ._client import Client, DirEntry

_KINDS = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
_PREFIX = "kiseki://"


def _split(address: str) -> Tuple[Optional[str], str]:
    """Namespace and path of an address; a path alone has no namespace."""
    if not address.startswith(_PREFIX):
        return None, "/" + address.strip("/")
    namespace, _, path = address[len(_PREFIX) :].partition("/")
    return namespace or None, "/" + path.strip("/")


class KisekiFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Files of a namespace. Storage options are keywords of :class:`kiseki.Client`, or ``client``: one that is open."""

    protocol = "kiseki"
    root_marker = "/"

    def __init__(self, client: Optional[Client] = None, **options: Any) -> None:
        super().__init__(client=client, **options)
        own = ("use_listings_cache", "skip_instance_cache", "asynchronous", "loop", "batch_size")
        kept = {name: value for name, value in options.items() if name not in own}
        self.client = client if client is not None else Client(**kept)

    @classmethod
    def _strip_protocol(cls, path: Union[str, List[str]]) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return _split(str(path))[1]

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> Dict[str, str]:
        namespace, _ = _split(path)
        return {} if namespace is None else {"namespace": namespace}

    def _info(self, path: str, found: Any) -> Dict[str, Any]:
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "other")
        return {
            "name": path,
            "size": found.st_size if kind == "file" else 0,
            "type": kind,
            "mode": found.st_mode,
            "ino": found.st_ino,
            "uid": found.st_uid,
            "gid": found.st_gid,
            "mtime": found.st_mtime,
        }

    def info(self, path: str, **_: Any) -> Dict[str, Any]:
        stripped = self._strip_protocol(path)
        return self._info(stripped, self.client.stat(stripped))

    def _entry(self, entry: DirEntry) -> Dict[str, Any]:
        found = entry.stat
        if entry.is_symlink():
            try:
                found = self.client.stat(entry.path)
            except OSError:
                pass  # it points to nothing: it is shown as a link
        return self._info(entry.path, found)

    def ls(self, path: str, detail: bool = True, **_: Any) -> List[Any]:
        stripped = self._strip_protocol(path)
        try:
            found = [self._entry(entry) for entry in self.client.scandir(stripped)]
        except NotADirectoryError:
            found = [self.info(stripped)]
        return found if detail else sorted(entry["name"] for entry in found)

    def _open(self, path: str, mode: str = "rb", block_size: Optional[int] = None, **_: Any) -> Any:
        return self.client.open(self._strip_protocol(path), mode, block_size or -1)

    def cat_file(self, path: str, start: Optional[int] = None, end: Optional[int] = None, **_: Any) -> bytes:
        stripped = self._strip_protocol(path)
        if start is None and end is None:
            return self.client.read_bytes(stripped)
        with self.client.open(stripped, "rb", 0) as file:
            size = self.client.stat(stripped).st_size
            begin, stop, _step = slice(start, end).indices(size)
            file.seek(begin)
            return cast(bytes, file.read(max(0, stop - begin)))

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        self.client.write_bytes(self._strip_protocol(path), value)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        stripped = self._strip_protocol(path)
        if create_parents:
            self.client.makedirs(stripped)
        else:
            self.client.mkdir(stripped)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self.client.makedirs(self._strip_protocol(path), exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        self.client.rmdir(self._strip_protocol(path))

    def rm_file(self, path: str) -> None:
        self.client.unlink(self._strip_protocol(path))

    def _rm(self, path: str) -> None:
        stripped = self._strip_protocol(path)
        if self.isdir(stripped):
            self.client.rmdir(stripped)
        else:
            self.client.unlink(stripped)

    def rm(self, path: Any, recursive: bool = False, maxdepth: Optional[int] = None) -> None:
        paths = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        for each in reversed(paths):
            self._rm(each)

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        self.client.rename(self._strip_protocol(path1), self._strip_protocol(path2))

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.isdir(source):
            self.client.makedirs(target, exist_ok=True)
            return
        with self.client.open(source, "rb") as reading, self.client.open(target, "wb") as writing:
            while piece := reading.read(4 * 1024 * 1024):
                writing.write(piece)

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        with self.client.open(self._strip_protocol(path), "wb" if truncate else "ab"):
            pass

    def modified(self, path: str) -> datetime:
        return datetime.fromtimestamp(self.info(path)["mtime"], timezone.utc)

    def created(self, path: str) -> datetime:
        """When it was changed last: when it was made is not kept."""
        return datetime.fromtimestamp(self.client.stat(self._strip_protocol(path)).st_ctime, timezone.utc)

"""Files of a namespace as a dataset of PyTorch."""

from __future__ import annotations

import fnmatch
from typing import Any, Callable, List, Optional, Sequence

from torch.utils.data import Dataset

from ._client import Client


class FileDataset(Dataset):  # type: ignore[misc]
    """Every file below a folder, in the order of their paths; an item is what ``decode`` makes of path and bytes.

    Workers of a ``DataLoader`` share the client of the process that made it, whether they are forked or spawned. Stage the
    folder first to read it at the speed of the local disk.
    """

    def __init__(
        self,
        client: Client,
        folder: str,
        decode: Optional[Callable[[str, bytes], Any]] = None,
        *,
        pattern: str = "*",
        paths: Optional[Sequence[str]] = None,
    ) -> None:
        """
        :param decode: called with path and bytes, in the worker; the bytes alone when left out
        :param pattern: of names to take, as a shell has them
        :param paths: the files themselves, instead of all below the folder
        """
        self._client = client
        self._decode = decode
        self.paths: List[str] = (
            list(paths) if paths is not None else sorted(_files_below(client, folder, pattern))
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        path = self.paths[index]
        content = self._client.read_bytes(path)
        return content if self._decode is None else self._decode(path, content)


def _files_below(client: Client, folder: str, pattern: str) -> List[str]:
    found: List[str] = []
    for top, _, names in client.walk(folder):
        found += ["%s/%s" % (top.rstrip("/"), name) for name in names if fnmatch.fnmatch(name, pattern)]
    return found

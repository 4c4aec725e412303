from __future__ import annotations

import contextlib
import gc
import inspect
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from typing import Any, Iterator, List

import pytest

import kiseki
from conftest import kept_in


def test_the_constructor_is_as_documented() -> None:
    parameters = inspect.signature(kiseki.Client).parameters
    positional = {
        name: each.default for name, each in parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD
    }
    assert positional == {
        "cache_mode": "organic",
        "cache_dir": "/tmp/kiseki-cache",
        "cache_l2_max": None,
        "meta_ttl_ms": 5000,
    }


def test_a_client_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(kiseki.KisekiError, match="no namespace nowhere"):
        kiseki.Client(cache_mode="bypass", namespace="nowhere")
    with pytest.raises(kiseki.KisekiError, match="Cannot find kiseki-client"):
        kiseki.Client(program="/nowhere/kiseki-client")
    monkeypatch.delenv("KISEKI_TENANT")
    with pytest.raises(kiseki.KisekiError, match="Cannot open the client[^:]*:\\s+--tenant .KISEKI_TENANT. is required"):
        kiseki.Client()
    names = [each.__module__ for each in (kiseki.Client, kiseki.CacheStatsView, kiseki.KisekiError)]
    assert names == ["kiseki"] * 3


def test_a_closed_client_refuses_and_closes_once(cache_dir: str) -> None:
    client = kiseki.Client(cache_dir=cache_dir)
    file = client.open("/left-open", "wb")
    file.write(b"stored all the same")
    file.flush()
    client.close()
    client.close()
    with pytest.raises(kiseki.KisekiError):
        client.stat("/")
    with kiseki.Client(cache_dir=cache_dir) as other:
        assert other.read_bytes("/left-open") == b"stored all the same"


def test_a_client_is_read_only_when_asked(cache_dir: str) -> None:
    with kiseki.Client(cache_dir=cache_dir, read_only=True) as client:
        with pytest.raises(OSError) as refused:
            client.write_bytes("/file", b"")
        assert refused.value.errno == 30
        assert "tests" in client.listdir("/") or client.listdir("/") is not None


def _read(client: kiseki.Client, path: str, queue: Any) -> None:
    queue.put(client.read_bytes(path))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_use_the_client(client: kiseki.Client, folder: str, method: str) -> None:
    client.write_bytes(folder + "/file", b"for all")
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=_read, args=(client, folder + "/file", queue)) for _ in range(3)]
    for child in children:
        child.start()
    assert [queue.get(timeout=15) for _ in children] == [b"for all"] * 3
    for child in children:
        child.join()
    assert client.read_bytes(folder + "/file") == b"for all"


def test_a_pickled_client_is_the_same_client(client: kiseki.Client, folder: str) -> None:
    copy = pickle.loads(pickle.dumps(client))
    copy.write_bytes(folder + "/file", b"x")
    copy.close()
    assert client.read_bytes(folder + "/file") == b"x"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropped = pickle.loads(pickle.dumps(client))
        assert dropped.exists(folder + "/file")
        with unraisable() as seen:
            del dropped
            gc.collect()
        assert seen == []


@contextlib.contextmanager
def unraisable() -> Iterator[List[str]]:
    """What goes wrong where nobody can be told."""
    seen: List[str] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda found: seen.append(repr(found.exc_value))
    try:
        yield seen
    finally:
        sys.unraisablehook = before


PROGRAM = """
import os, sys, kiseki
client = kiseki.Client(cache_dir=sys.argv[1])
client.read_bytes("/seen")
print(client._process._process.pid, client._process.path, flush=True)
sys.stdin.read()
"""


def runs(pid: int) -> bool:
    """Whether it has not ended; in a container that has no init, one that has stays in the table as a zombie."""
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_the_client_process_ends_with_its_parent(client: kiseki.Client, tmp_path: Any, how: str) -> None:
    client.write_bytes("/seen", os.urandom(100_000))
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin and child.stdout
    pid, path = child.stdout.readline().split()
    mode = os.stat(path).st_mode & 0o777, os.stat(os.path.dirname(path)).st_mode & 0o777
    assert mode == (0o600, 0o700)
    if how == "kill":
        child.send_signal(signal.SIGKILL)
    child.stdin.close()
    child.wait(15)
    child.stdout.close()
    deadline = time.monotonic() + 15
    while runs(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not runs(int(pid))
    assert not os.path.exists(path)
    assert kept_in(str(tmp_path)) == []

from __future__ import annotations

import inspect
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from typing import Any, List

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


def test_statistics_show_what_the_cache_did(cache_dir: str) -> None:
    with kiseki.Client(cache_dir=cache_dir) as client:
        client.write_bytes("/counted", os.urandom(3_000_000))
        for _ in range(2):
            client.read_bytes("/counted")
        stats = client.cache_stats()
        assert isinstance(stats, kiseki.CacheStatsView)
        assert stats.misses >= 3 and stats.l1_hits >= 3 and stats.l1_bytes >= 3_000_000
        assert str(stats).startswith("CacheStats(l1_hits=")
        with pytest.raises(AttributeError):
            stats.misses = 1  # type: ignore[misc]
        client.wipe()
        assert (client.cache_stats().l1_bytes, client.cache_stats().wipes) == (0, 1)
        misses = client.cache_stats().misses
        client.read_bytes("/counted")
        assert client.cache_stats().misses > misses


def test_the_constructor_wins_over_variables(monkeypatch: pytest.MonkeyPatch, cache_dir: str) -> None:
    monkeypatch.setenv("KISEKI_CACHE_MODE", "bypass")
    monkeypatch.setenv("KISEKI_CACHE_DIR", cache_dir)
    with kiseki.Client() as client:
        assert client.cache_mode() == "bypass"
    with kiseki.Client(cache_mode="organic") as client:
        assert client.cache_mode() == "organic"
    with pytest.raises(kiseki.KisekiError, match="cache_mode"):
        kiseki.Client(cache_mode="lots")


def test_a_client_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(kiseki.KisekiError, match="no namespace nowhere"):
        kiseki.Client(cache_mode="bypass", namespace="nowhere")
    with pytest.raises(kiseki.KisekiError, match="Cannot find kiseki-client"):
        kiseki.Client(program="/nowhere/kiseki-client")
    monkeypatch.delenv("KISEKI_TENANT")
    with pytest.raises(kiseki.KisekiError, match="--tenant"):
        kiseki.Client()


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


def test_a_workflow_is_declared_goes_on_and_ends(client: kiseki.Client) -> None:
    workflow = client.declare_workflow()
    assert 0 < workflow < 2**128
    client.advance_phase(workflow, 3, "epoch 3")
    with pytest.raises(kiseki.KisekiError, match="phase_not_monotonic"):
        client.advance_phase(workflow, 3)
    client.end_workflow(workflow)
    with pytest.raises(kiseki.KisekiError, match="scope_not_found"):
        client.end_workflow(workflow)
    with pytest.raises(kiseki.KisekiError, match="profile_not_allowed"):
        client.declare_workflow(profile="mining")


def test_a_dataset_is_staged_and_released(cache_dir: str) -> None:
    with kiseki.Client(cache_dir=cache_dir, cache_l1_max=1024 * 1024) as client:
        client.makedirs("/set/deep", exist_ok=True)
        contents = {"/set/%d" % number: os.urandom(300_000) for number in range(4)}
        contents["/set/deep/file"] = os.urandom(2_500_000)
        for path, content in contents.items():
            client.write_bytes(path, content)
        assert client.stage_status() == []
        seen: List[kiseki.StageProgress] = []
        client.stage("/set", progress=seen.append)
        assert seen[-1].files_done == seen[-1].files_total == 5
        assert seen[-1].bytes_done == seen[-1].bytes_total == 3_700_000
        client.stage("/set/")
        assert client.stage_status() == ["/set"]
        misses = client.cache_stats().misses
        for path, content in contents.items():
            assert client.read_bytes(path) == content
        stats = client.cache_stats()
        assert stats.misses == misses and stats.l2_hits > 0 and stats.l2_bytes >= 3_700_000
        client.release("/set")
        assert client.stage_status() == [] and client.cache_stats().l2_bytes < 3_700_000
        with pytest.raises(kiseki.KisekiError, match="Cannot stage /no"):
            client.stage("/no/such/thing")
        client.stage("/set/deep")
        client.release_all()
        assert client.stage_status() == []
        assert client.read_bytes("/set/deep/file") == contents["/set/deep/file"]


def test_staging_needs_a_cache() -> None:
    with kiseki.Client(cache_mode="bypass") as client:
        with pytest.raises(kiseki.KisekiError, match="no cache on disk"):
            client.stage("/")


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


PROGRAM = """
import os, sys, kiseki
client = kiseki.Client(cache_dir=sys.argv[1])
client.read_bytes("/seen")
print(client._process._process.pid, client._process.path, flush=True)
sys.stdin.read()
"""


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
    while os.path.exists("/proc/%d" % int(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.exists("/proc/%d" % int(pid))
    assert not os.path.exists(path)
    assert kept_in(str(tmp_path)) == []

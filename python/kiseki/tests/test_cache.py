from __future__ import annotations

import os
import pathlib
from typing import List

import pytest

import kiseki


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
        client.stage(pathlib.PurePosixPath("/set/deep"))
        client.release_all()
        assert client.stage_status() == []
        assert client.read_bytes("/set/deep/file") == contents["/set/deep/file"]


def test_what_is_not_as_it_was_asked_for_is_told(
    tmp_path: pathlib.Path, cache_dir: str, caplog: pytest.LogCaptureFixture
) -> None:
    tmp_path.chmod(0o777)
    with kiseki.Client(cache_dir=str(tmp_path)) as client:
        assert "nothing is kept on disk: %s" % tmp_path in caplog.text
        with pytest.raises(kiseki.KisekiError, match="cannot be used"):
            client.stage("/")
    nowhere = "0a" * 16
    with kiseki.Client(cache_dir=cache_dir, cache_pool_id=nowhere) as client:
        assert "the pool %s is not taken over: there is no such pool" % nowhere in caplog.text
        assert client.stage_status() == []


def test_staging_needs_a_cache() -> None:
    with kiseki.Client(cache_mode="bypass") as client:
        with pytest.raises(kiseki.KisekiError, match="no cache on disk"):
            client.stage("/")

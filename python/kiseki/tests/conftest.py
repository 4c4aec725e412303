"""Tests run against a real node; ``tests/sdk/python.test.ts`` starts it and says where it is by KISEKI_* variables."""

from __future__ import annotations

import os
import uuid
from typing import Iterator, List

import pytest

import kiseki


def kept_in(folder: str) -> List[str]:
    """Files with content: all but locks and the policy."""
    found = [name for _, _, names in os.walk(folder) for name in names]
    return [name for name in found if not name.endswith(".lock") and name != "policy.json"]


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def client(cache_dir: str) -> Iterator[kiseki.Client]:
    with kiseki.Client(cache_dir=cache_dir) as opened:
        yield opened


@pytest.fixture
def folder(client: kiseki.Client) -> str:
    path = "/tests/" + uuid.uuid4().hex
    client.makedirs(path)
    return path


@pytest.fixture(scope="session", autouse=True)
def nothing_left(cache_dir: str, client: kiseki.Client) -> Iterator[None]:
    yield
    client.close()
    assert kept_in(cache_dir) == []

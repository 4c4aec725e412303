"""Tests run against a real node; ``tests/sdk/python.test.ts`` starts it and says where it is by KISEKI_* variables."""

from __future__ import annotations

import os
import uuid
from typing import Iterator

import pytest

import kiseki


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
    left = [name for _, _, names in os.walk(cache_dir) for name in names if not name.endswith(".lock")]
    assert left == []

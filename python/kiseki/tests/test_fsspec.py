from __future__ import annotations

import os

import fsspec
import pytest

import kiseki
from kiseki.fsspec import KisekiFileSystem


@pytest.fixture
def files(client: kiseki.Client) -> KisekiFileSystem:
    return KisekiFileSystem(client=client, skip_instance_cache=True)


def test_addresses_name_namespace_and_path() -> None:
    assert fsspec.get_filesystem_class("kiseki") is KisekiFileSystem
    assert KisekiFileSystem._get_kwargs_from_urls("kiseki://data/a/b") == {"namespace": "data"}
    assert KisekiFileSystem._strip_protocol("kiseki://data/a/b/") == "/a/b"
    assert KisekiFileSystem._strip_protocol("a") == "/a"


def test_files_are_written_read_listed_and_removed(files: KisekiFileSystem, folder: str) -> None:
    data = os.urandom(3_000_000)
    files.makedirs(folder + "/d")
    files.pipe_file(folder + "/d/raw", data)
    assert files.cat_file("kiseki://data" + folder + "/d/raw") == data
    assert files.cat_file(folder + "/d/raw", 10, -5) == data[10:-5]
    with files.open(folder + "/text", "w") as file:
        file.write("one\ntwo\n")
    with files.open(folder + "/text") as file:
        assert file.readlines() == [b"one\n", b"two\n"]
    assert sorted(files.ls(folder, detail=False)) == [folder + "/d", folder + "/text"]
    assert files.info(folder + "/text")["size"] == 8
    assert files.find(folder) == [folder + "/d/raw", folder + "/text"]
    assert files.glob(folder + "/*xt") == [folder + "/text"]
    assert files.isdir(folder + "/d") and files.exists(folder + "/text") and not files.exists(folder + "/no")
    files.mv(folder + "/text", folder + "/moved")
    files.cp_file(folder + "/d/raw", folder + "/copy")
    assert files.cat_file(folder + "/copy") == data
    assert files.modified(folder + "/copy").year >= 2020
    files.rm(folder, recursive=True)
    assert not files.exists(folder)

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import kiseki

MiB = 1024 * 1024


def test_bytes_come_back_as_they_were_written(client: kiseki.Client, folder: str) -> None:
    for size in (0, 1, 4097, MiB, 9 * MiB + 5):
        data = os.urandom(size)
        assert client.write_bytes(folder + "/file", data) == size
        assert client.read_bytes(folder + "/file") == data
        assert client.stat(folder + "/file").st_size == size


def test_open_is_as_the_built_in_one(client: kiseki.Client, folder: str) -> None:
    path = folder + "/text"
    with client.open(path, "w", encoding="utf-8") as file:
        file.write("eins\nzwei\nünï\n")
    with client.open(path, encoding="utf-8") as file:
        assert list(file) == ["eins\n", "zwei\n", "ünï\n"]
    with client.open(path, "a", encoding="utf-8") as file:
        assert file.tell() == 16
        file.write("vier")
    with client.open(path, "r+b") as file:
        assert file.read(4) == b"eins"
        file.seek(-4, os.SEEK_END)
        assert file.read() == b"vier"
        file.seek(0)
        file.write(b"EINS")
        file.truncate(5)
    assert client.read_bytes(path) == b"EINS\n"
    with client.open(path, "rb") as file:
        buffer = bytearray(10)
        assert (file.readinto(buffer), bytes(buffer[:5])) == (5, b"EINS\n")
        assert file.read() == b""
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
    with pytest.raises(FileExistsError):
        client.open(path, "x")
    with pytest.raises(FileNotFoundError) as missing:
        client.open(folder + "/missing")
    assert missing.value.filename == folder + "/missing"
    with pytest.raises(ValueError):
        client.open(path, "rw")
    with pytest.raises(ValueError):
        client.open(path, "b")


def test_a_file_has_holes_and_is_stored_by_sync(client: kiseki.Client, folder: str) -> None:
    with client.open(folder + "/sparse", "wb", 0) as file:
        file.seek(3 * MiB)
        file.write(b"end")
        file.sync()  # type: ignore[attr-defined]
        assert client.read_bytes(folder + "/sparse") == bytes(3 * MiB) + b"end"


def test_folders_are_listed_walked_and_removed(client: kiseki.Client, folder: str) -> None:
    names = sorted("file-%d" % number for number in range(150))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: client.write_bytes("%s/%s" % (folder, name), name.encode()), names))
    client.mkdir(folder + "/sub")
    client.symlink("file-1", folder + "/link")
    assert sorted(client.listdir(folder)) == [*names, "link", "sub"]
    entries = {entry.name: entry for entry in client.scandir(folder)}
    assert entries["sub"].is_dir() and entries["link"].is_symlink() and entries["file-7"].is_file()
    assert entries["file-17"].stat.st_size == len("file-17")
    assert client.readlink(folder + "/link") == "file-1"
    assert client.read_bytes(folder + "/link") == b"file-1"
    assert stat.S_ISLNK(client.stat(folder + "/link", follow_symlinks=False).st_mode)
    client.write_bytes(folder + "/sub/deep", b"")
    assert [(top, folders) for top, folders, _ in client.walk(folder)] == [(folder, ["sub"]), (folder + "/sub", [])]
    with pytest.raises(OSError) as refused:
        client.rmdir(folder + "/sub")
    assert refused.value.errno == errno.ENOTEMPTY
    client.rename(folder + "/sub/deep", folder + "/moved")
    client.rmdir(folder + "/sub")
    assert not client.exists(folder + "/sub")
    with pytest.raises(NotADirectoryError):
        client.listdir(folder + "/moved")
    with pytest.raises(IsADirectoryError):
        client.read_bytes(folder)
    client.unlink(folder + "/moved")
    with pytest.raises(FileNotFoundError):
        client.unlink(folder + "/moved")
    with pytest.raises(FileExistsError):
        client.makedirs(folder)
    client.makedirs(folder, exist_ok=True)


def test_attributes_are_changed(client: kiseki.Client, folder: str) -> None:
    path = folder + "/file"
    client.write_bytes(path, b"12345678", permissions=0o600)
    assert client.stat(path).st_mode & 0o777 == 0o600
    client.chmod(path, 0o640)
    client.utime(path, (10**18 + 7, 10**18 + 9))
    client.truncate(path, 3)
    with pytest.raises(OSError) as refused:
        client.truncate(path, -1)
    assert refused.value.errno == errno.EINVAL
    client.utime(path, (10**18 + 7, 10**18 + 9))
    found = client.stat(path)
    assert (found.st_mode & 0o777, found.st_size, found.st_mtime_ns) == (0o640, 3, 10**18 + 9)
    assert found.st_mtime == pytest.approx(1e9)
    assert found.st_uid == os.getuid()


def test_many_threads_share_a_client(client: kiseki.Client, folder: str) -> None:
    contents = {"%s/%d" % (folder, number): os.urandom(100_000 + number) for number in range(64)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda item: client.write_bytes(*item), contents.items()))
        for _ in range(3):
            assert list(pool.map(client.read_bytes, contents)) == list(contents.values())


def test_a_thread_that_waits_long_holds_up_nobody(client: kiseki.Client, folder: str) -> None:
    client.write_bytes(folder + "/file", os.urandom(16 * MiB))
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            client.read_bytes(folder + "/file")

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(20):
            client.stat(folder)
    finally:
        done.set()
        thread.join()

"""Files are there whole or not at all, whatever store they lie in; what cannot be written is one sentence."""

import errno
import io
import os
import pickle
import resource
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pyarrow as pa
import pytest

from emocore.errors import OutputError, UserError, said_to_user
from emocore.storage import files
from emocore.storage.files import delete, put, read_json, store_of, write_bytes, write_json, write_text
from emocore.storage.local import append_line, appending, keep, scratch
from emocore.storage.tables import count_rows, read_tables, table_writer, write_table

DISK_ERRORS = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "ENAMETOOLONG", "EIO", "EACCES")
TABLE = pa.table({"clip": [f"clip {i}" for i in range(20_000)]})


@contextmanager
def limit(n_bytes):
    """No file may grow beyond so many bytes, as on a disk that is full there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refuse(name):
    def call(*_, **__):
        code = getattr(errno, name)
        raise OSError(code, os.strerror(code))

    return call


def test_the_folders_are_made_and_only_a_whole_file_has_the_name(tmp_path):
    path = tmp_path / "new" / "folder" / "a.bin"
    with put(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.bin"]


def test_what_fails_in_between_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError), put(path) as file:
        file.write(b"new")
        1 / 0  # noqa: B018
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_bytes_name_and_folder_are_on_the_disk_in_that_order(tmp_path, monkeypatch):
    seen, fsync, replace = [], os.fsync, Path.replace

    def synced(descriptor):
        seen.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path))
        fsync(descriptor)

    def renamed(path, target):
        seen.append(("name", False))
        replace(path, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_text(tmp_path / "a.txt", "words")
    assert seen == [("sync", False), ("name", False), ("sync", True)]


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    write_text(tmp_path / ("a" * 255), "words")
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OutputError, match=r"a cannot be written \(File name too long\): name a folder with a shorter"):
        write_text(tmp_path / ("a" * 256), "words")


@pytest.mark.parametrize("name", DISK_ERRORS)
@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.mkdir"])
def test_whatever_the_disk_says_is_one_sentence(tmp_path, monkeypatch, call, name):
    path = tmp_path / "folder" / "a.txt"
    monkeypatch.setattr(call, refuse(name))
    with pytest.raises(OutputError) as error:
        write_text(path, "words")
    sentence = str(error.value)
    assert str(tmp_path) in sentence and os.strerror(getattr(errno, name)) in sentence and "\n" not in sentence
    assert (" are free there" in sentence) == (name == "ENOSPC")
    assert not path.exists()


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_bytes(folder / "a", bytes(100_000)),
        lambda folder: write_json(folder / "a.json", "a" * 100_000),
        lambda folder: write_table(TABLE, folder / "a.parquet"),
        lambda folder: append_line(folder / "a.jsonl", "a" * 100_000),
        lambda folder: store_of(folder).put_new(folder / "a", bytes(100_000)),
    ],
    ids=["bytes", "json", "table", "line", "new"],
)
def test_a_file_that_finds_no_room_is_one_sentence(tmp_path, write):
    with (
        limit(8_000),
        pytest.raises(OutputError, match=rf"^{tmp_path}/a\S* cannot be written \(File too large\): raise"),
    ):
        write(tmp_path)


def test_a_table_in_parts_that_finds_no_room_is_one_sentence_too(tmp_path):
    path = tmp_path / "a.parquet"
    with limit(8_000), pytest.raises(OutputError, match="File too large"), table_writer(TABLE.schema, path) as write:
        for _ in range(10):
            write(TABLE)
    assert list(tmp_path.iterdir()) == []


def test_the_sentence_crosses_processes():
    error = pickle.loads(pickle.dumps(OutputError("full")))
    assert isinstance(error, UserError) and str(error) == "full"


def test_what_was_added_to_is_kept_under_its_own_name(tmp_path):
    part = tmp_path / "a.part"
    with appending(part) as file:
        assert file.write(b"one") == 3
    with appending(part) as file:
        file.write(b" two")
    keep(part, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"one two" and not part.exists()
    with appending(tmp_path / "a", anew=True) as file:
        file.write(b"three")
    assert (tmp_path / "a").read_bytes() == b"three"


def test_of_several_that_put_a_new_file_the_first_is_told_so(tmp_path):
    path = tmp_path / "folder" / "a"
    assert [store_of(path).put_new(path, content) for content in (b"1", b"2", b"3")] == [True, False, False]
    assert path.read_bytes() == b"1"


def test_a_list_is_of_whole_files_in_name_order(tmp_path):
    for name in ("b", "a", ".a.1-2.tmp"):
        write_text(tmp_path / name, name)
    (tmp_path / "folder").mkdir()
    assert store_of(tmp_path).list(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert store_of(tmp_path).list(tmp_path / "none") == []


def test_a_lease_is_held_by_one_and_shared_by_many(tmp_path):
    lock, store = tmp_path / ".lock", store_of(tmp_path)
    with store.lease(lock, "is busy", shared=True):  # nobody took it before: nothing is held
        assert not lock.exists()
    for shared in (False, True):
        held, wanted = store.lease(lock, "is busy", shared=shared), store.lease(lock, "is busy")
        with held, pytest.raises(UserError, match="is busy"), wanted:
            pass
    with store.lease(lock, "is busy", shared=True), store.lease(lock, "is busy", shared=True):
        pass


def test_a_lease_without_a_sentence_waits(tmp_path):
    lock, store, taken = tmp_path / ".lock", store_of(tmp_path), threading.Event()

    def take():
        with store.lease(lock, None):
            taken.set()

    thread = threading.Thread(target=take)
    with store.lease(lock, None):
        thread.start()
        assert not taken.wait(0.1)
    assert taken.wait(10)
    thread.join()


def test_a_folder_for_libraries_goes_with_its_context():
    with scratch() as folder:
        (folder / "a").write_text("words")
    assert not folder.exists()


class Bucket:
    """A store in memory: what a backend has to be, and all of it."""

    def __init__(self):
        self.objects = {}

    def open(self, path):
        try:
            return io.BytesIO(self.objects[path])
        except KeyError:
            raise FileNotFoundError(path) from None

    def list(self, folder):
        return sorted(path for path in self.objects if path.parent == folder)

    @contextmanager
    def put(self, path):
        content = io.BytesIO()
        yield content
        self.objects[path] = content.getvalue()

    def put_new(self, path, content):
        return self.objects.setdefault(path, content) is content

    def delete(self, path):
        self.objects.pop(path, None)

    def lease(self, path, busy, *, shared=False):  # noqa: ARG002
        return nullcontext()


def test_another_store_is_a_class_and_a_line(monkeypatch):
    bucket = Bucket()
    monkeypatch.setitem(files.STORES, "mem", bucket)
    out = Path("mem://bucket/out")
    write_json(out / "a.json", {"a": 1})
    write_table(TABLE, out / "labels" / "000000.parquet")
    write_table(TABLE, out / "labels" / "000001.parquet")
    assert read_json(out / "a.json") == {"a": 1}
    assert count_rows(out / "labels") == read_tables(out / "labels").num_rows == 2 * len(TABLE)
    delete(out / "a.json")
    assert [path.name for path in bucket.objects] == ["000000.parquet", "000001.parquet"]
    assert not out.exists()


class FromWorker(UserError):
    """As Ray raises a worker's UserError: of its type, with pages of text."""

    def __init__(self, cause):
        super().__init__("a page\nof text")
        self.cause = cause


def test_the_words_for_the_user_are_found_below_those_of_others(tmp_path):
    sentence = UserError("give another --space")
    assert said_to_user(FromWorker(sentence), tmp_path) is sentence
    try:
        raise RuntimeError("trial failed") from FromWorker(sentence)
    except RuntimeError as error:
        assert said_to_user(error, tmp_path) is sentence
    outer = RuntimeError("Training failed due to controller error")
    outer.controller_failure = sentence
    assert said_to_user(outer, tmp_path) is sentence
    outer = RuntimeError("two workers failed")
    outer.worker_failures = {1: ValueError("pages"), 2: FromWorker(sentence)}
    assert said_to_user(outer, tmp_path) is sentence
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert f"The disk of {tmp_path} is full" in str(said_to_user(FromWorker(full), tmp_path))
    assert str(said_to_user(full, None)) == (
        "A file cannot be written (No space left on device): free some space and run the same command again."
    )
    assert said_to_user(OSError(errno.EIO, "of a film that is read"), tmp_path) is None
    assert said_to_user(ValueError("a mistake of ours"), tmp_path) is None

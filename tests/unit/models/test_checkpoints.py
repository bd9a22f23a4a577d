"""The state of a training on disk: whole, or not there."""

import resource

import numpy as np
import pytest

from emocore.errors import OutputError
from emocore.models.keras.checkpoints import drop_checkpoints, last_checkpoint, read_checkpoint, write_checkpoint

GROUPS = {
    "weights": [np.arange(6.0).reshape(2, 3), np.float32(7) * np.ones((), "f4")],
    "optimizer": [np.arange(12, dtype="i8")],
}


def write(folder, epoch):
    return write_checkpoint(folder, epoch, GROUPS, {"epoch": epoch, "history": [{"loss": 0.5}]})


def test_read_is_what_was_written(tmp_path):
    found = read_checkpoint(write(tmp_path, 3))
    assert found.facts == {"epoch": 3, "history": [{"loss": 0.5}]}
    assert set(found.groups) == set(GROUPS)
    for group, arrays in GROUPS.items():
        for array, other in zip(arrays, found.groups[group], strict=True):
            np.testing.assert_array_equal(array, other)
            assert array.dtype == other.dtype


def test_twelve_arrays_keep_their_order(tmp_path):
    path = write_checkpoint(tmp_path, 1, {"weights": [np.array(i) for i in range(12)]}, {})
    assert [int(array) for array in read_checkpoint(path).groups["weights"]] == list(range(12))


def test_the_newest_whole_one_counts(tmp_path):
    assert last_checkpoint(tmp_path) is None
    paths = [write(tmp_path, epoch) for epoch in (9, 10)]
    assert last_checkpoint(tmp_path) == paths[1]
    state = paths[1] / "state.npz"
    state.write_bytes(state.read_bytes()[:-200])  # as a power cut leaves it
    assert last_checkpoint(tmp_path) == paths[0]
    (tmp_path / "epoch-000011").mkdir()
    (tmp_path / "epoch-000011" / ".state.npz.1-ab.tmp").write_bytes(b"half")
    (tmp_path / "epoch-000012").mkdir()
    assert last_checkpoint(tmp_path) == paths[0]
    drop_checkpoints(tmp_path, keep=paths[0])
    assert list(tmp_path.iterdir()) == [paths[0]]


def test_a_full_disk_leaves_the_one_before(tmp_path):
    before = write(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError, match=r"epoch-000002/state\.npz cannot be written \(File too large\)"):
            write_checkpoint(tmp_path, 2, {"weights": [np.zeros(10_000)]}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.rglob("*.npz*")) == [before / "state.npz"]
    assert last_checkpoint(tmp_path) == before
    assert read_checkpoint(before).facts["epoch"] == 1


def test_an_epoch_may_be_written_again(tmp_path):
    write(tmp_path, 1)
    path = write_checkpoint(tmp_path, 1, {}, {"epoch": 1, "again": True})
    assert read_checkpoint(path).facts["again"]

"""What finished folds gave comes back as it was."""

from dataclasses import replace

import numpy as np
import pytest

from emocore.datasets.protocols import Fold
from emocore.errors import UserError
from emocore.labels import EMOTIONS
from emocore.models.adaptation import Adaptation
from emocore.models.predictions import answer_frames
from emocore.pipeline.training.folds import FoldResult, actors_apart, check_folds, keep_result, load_kept
from emocore.schema import CLIPS, FRAME_LABELS, rows_to_table

RNG = np.random.default_rng(0)


def result(name="a/b.c", frames=True):
    heads = rows_to_table(
        [{"clip": f"c{i}", "frame_index": 20 * i, "time_seconds": 0.8 * i} for i in range(5)], FRAME_LABELS
    )
    table = answer_frames(heads, RNG.dirichlet(np.ones(8), 5)) if frames else None
    history = [{"epoch": 1, "loss": 1.5}] if frames else []
    shares = RNG.dirichlet(np.ones(8), 3)
    return FoldResult(name, np.array([2, 5, 7]), shares, 1.25, {"epoch": 1}, {"m": b"x"}, None, table, history)


@pytest.mark.parametrize("frames", [True, False])
def test_a_kept_fold_is_the_fold_without_its_model(tmp_path, frames):
    told = result(frames=frames)
    keep_result(tmp_path / "kept", told)
    found = load_kept(tmp_path / "kept", told.name)
    np.testing.assert_array_equal(found.rows, told.rows)
    np.testing.assert_array_equal(found.probabilities, told.probabilities)
    assert (found.name, found.temperature, found.chosen, found.independent, found.files, found.history) == (
        *(told.name, told.temperature, told.chosen, told.independent),
        *({}, told.history),
    )
    assert found.frames is None if not frames else found.frames.equals(told.frames)
    assert load_kept(tmp_path / "kept", "a") is None


def test_without_a_folder_nothing_is_kept(tmp_path):
    keep_result(None, result())
    assert load_kept(None, "a/b.c") is None and list(tmp_path.iterdir()) == []


def test_a_fold_cut_off_while_it_was_written_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "savez", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keep_result(tmp_path, result())
    assert load_kept(tmp_path, "a/b.c") is None


def test_whether_actors_stand_apart():
    clips = rows_to_table([{"clip": str(i), "actor": actor} for i, actor in enumerate(["01", "01", "02", None])], CLIPS)
    one, other = np.array([0, 1]), np.array([2])
    assert actors_apart(clips.slice(0, 3), [(one, other)]) is True
    assert actors_apart(clips.slice(0, 3), [(one, other), (one[:1], one[1:])]) is False
    assert actors_apart(clips, [(one, other)]) is None


def test_one_class_cannot_be_learnt(make_clip):
    clips = rows_to_table([make_clip(str(i)) for i in range(3)], CLIPS)
    soft = np.eye(len(EMOTIONS), dtype="f4")[[1, 1, 2]]
    fold = Fold("x", np.array([0, 1]), np.array([], int), np.array([2]))
    with pytest.raises(UserError, match="show only calm"):
        check_folds(clips, soft, [fold], None)


def test_a_kept_fold_keeps_how_it_was_adapted(tmp_path):
    told = replace(result(frames=False), adaptation=Adaptation("speaker", {"01": 0.5, "02": 0.0}, np.eye(3)))
    keep_result(tmp_path, told)
    found = load_kept(tmp_path, told.name).adaptation
    assert (found.by, found.trust) == ("speaker", {"01": 0.5, "02": 0.0})
    np.testing.assert_array_equal(found.plain, np.eye(3))

"""How a search parts the training clips: what cannot be searched is one sentence, before anything is trained."""

import numpy as np
import pytest

from emocore.datasets.protocols import Fold, make_folds
from emocore.errors import UserError
from emocore.labels import EMOTIONS
from emocore.pipeline.options.run import TuneOptions
from emocore.pipeline.runs import _searching
from emocore.schema import CLIPS, rows_to_table


def corpus(shown):
    """The clips and soft labels of actors, each of whom shows these emotions twice."""
    rows = []
    for actor, emotions in shown.items():
        for emotion in 2 * emotions:
            soft = np.eye(len(EMOTIONS), dtype=np.float32)[EMOTIONS.index(emotion)]
            name = f"c{len(rows)}"
            rows.append({"clip": name, "take": name, "path": f"/{name}.wav", "actor": actor, "soft_label": soft})
    return rows_to_table(rows, CLIPS), np.stack([row["soft_label"] for row in rows])


def sentence_of(model, shown, folds, seed=0):
    clips, soft = corpus(shown)
    whole, _ = make_folds("all", clips)
    fitter = _searching(TuneOptions(data=("nowhere",), out="RUN", model=model, folds=folds, seed=seed))
    with pytest.raises(UserError) as error:
        part = fitter._frame_folds if model == "cnn" else fitter._splits
        part(clips, soft, whole[0])
    return str(error.value)


BOTH = ["happy", "sad"]


def test_a_network_of_frames_needs_a_second_actor_who_chooses_the_epoch():
    three = dict.fromkeys(["01", "02", "03"], BOTH)
    assert sentence_of("cnn", three, 2) == (
        "--folds 2 leaves one of the training actors of fold 'all' to learn from, and cnn needs another to choose its "
        "epoch by: give more --folds, or clips of more actors."
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_network_of_sound_needs_two_emotions_beside_its_validation_actors(seed):
    # Two actors a fold: where the sad one chooses the epoch, only happiness is left to learn from.
    shown = {"01": ["happy"], "02": ["sad"], "03": ["happy"], "04": ["sad"]}
    assert sentence_of("audio-conv1d", shown, 2, seed) in (
        "A fold of the search in fold 'all' has one emotion only to learn from once its validation actors are drawn: "
        "give more --folds, or clips of more actors.",
        "A fold of the search in fold 'all' shows one emotion only: give fewer --folds.",
    )


def test_folds_of_clips_that_validate_are_searched_too():
    clips, soft = corpus(dict.fromkeys(["01", "02", "03", "04"], BOTH))
    rows = np.arange(clips.num_rows)
    fold = Fold("one", rows[rows % 16 < 12], rows[rows % 16 >= 12], rows[:0])
    fitter = _searching(TuneOptions(data=("nowhere",), out="RUN", model="svc", folds=4))
    held = np.concatenate([split.held for split in fitter._splits(clips, soft, fold)])
    assert sorted(held) == rows.tolist()

"""What metrics.json says of each corpus that was tested by a model trained on the others."""

import numpy as np
import pytest

from emocore.datasets.examples import Examples
from emocore.datasets.protocols import make_folds
from emocore.labels import EMOTIONS
from emocore.pipeline.training.across import by_corpus
from emocore.pipeline.training.folds import FoldResult
from emocore.schema import CLIPS, rows_to_table

ONE_HOT = np.eye(8, dtype=np.float32)
TOLD = [("a", "happy"), ("a", "sad"), ("a", "calm"), ("b", "happy"), ("b", "sad"), ("b", "sad"), ("b", "disgust")]


def test_a_corpus_is_scored_over_its_emotions_with_its_own_chance():
    rows = [
        {"clip": f"c{n}", "take": f"c{n}", "path": f"/c{n}.wav", "corpus": corpus, "actor": f"{corpus}{n % 2}"}
        | {"emotion": emotion, "soft_label": ONE_HOT[EMOTIONS.index(emotion)]}
        for n, (corpus, emotion) in enumerate(TOLD)
    ]
    clips = rows_to_table(rows, CLIPS)
    soft = clips["soft_label"].combine_chunks().to_numpy_ndarray()
    examples = Examples(clips=clips, soft=soft, inputs={}, synthetic=False)
    folds, _ = make_folds("cross-corpus", clips)
    happy = ONE_HOT[EMOTIONS.index("happy")].astype(np.float64)
    results = [
        FoldResult(fold.name, fold.test, np.tile(happy, (len(fold.test), 1)), 1.0, {}, {}, True) for fold in folds
    ]
    a, b = by_corpus(examples, folds, results, seed=0)
    assert (a["name"], a["trained_on"], a["n_trained"], a["n"], a["n_left_out"]) == ("a", ["b"], 3, 2, 1)
    assert (b["n"], b["n_left_out"], b["emotions"], b["chance"], b["n_actors"]) == (3, 1, ["happy", "sad"], 0.5, 2)
    assert a["uar"] == b["uar"] == 0.5 and b["accuracy"] == pytest.approx(1 / 3)

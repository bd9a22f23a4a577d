"""Evaluation across corpora: each is tested by a model of the others, and knows the common emotions alone."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from emocore.errors import UserError
from emocore.labels import EMOTIONS
from emocore.pipeline.runs import evaluate
from emocore.storage.files import read_json

pytestmark = pytest.mark.usefixtures("cluster")
WITHOUT_CALM = tuple(emotion for emotion in EMOTIONS if emotion != "calm")


@pytest.fixture(scope="module")
def three(acted, write_features, tmp_path_factory):
    """FEATURES of RAVDESS and two others, of which emo-db has actor 03 too, and neither calm."""
    root = tmp_path_factory.mktemp("across")
    told = {
        "ravdess": (range(1, 5), EMOTIONS, 1),
        "emo-db": ((3, 8, 9), WITHOUT_CALM[:4], 1),
        "nemo": (range(51, 54), WITHOUT_CALM, 3),
    }
    made = []
    for corpus, (actors, emotions, times) in told.items():
        rows = acted(actors, emotions, times, corpus=corpus)
        rows = [row | {"clip": f"{corpus}-{row['clip']}"} for row in rows]
        made.append(str(write_features(root / corpus, rows)))
    return made


@pytest.fixture
def options(three, job_modules, tmp_path):
    """Options of evaluate, by those that are not as always."""

    def call(**told):
        always = {"data": tuple(three), "model": "svc", "protocol": "cross-corpus", "out": str(tmp_path / "R")}
        return job_modules["evaluate"].Evaluate(**{**always, **told})

    return call


def test_each_corpus_is_tested_by_a_model_of_the_others(options, tmp_path):
    metrics = evaluate(options()).metrics
    rows = {row["name"]: row for row in metrics["corpora"]}
    assert {name: (row["n"], row["n_left_out"], len(row["emotions"])) for name, row in rows.items()} == {
        "emo-db": (12, 0, 4),
        "nemo": (63, 0, 7),
        "ravdess": (28, 4, 7),
    }
    assert rows["ravdess"]["trained_on"] == ["emo-db", "nemo"] and rows["ravdess"]["chance"] == pytest.approx(1 / 7)
    assert metrics["speaker_independent"] is True
    table = pq.read_table(tmp_path / "R" / "predictions.parquet")
    assert {"ravdess 03", "emo-db 03"} <= set(table["actor"].to_pylist())
    assert not any(table["p_calm"].to_pylist())
    of_emo_db = np.array(table["fold"].to_pylist()) == "emo-db"
    others = np.column_stack([table[f"p_{emotion}"].to_numpy() for emotion in WITHOUT_CALM[4:]])
    assert not others[of_emo_db].any() and others[~of_emo_db].any()
    assert read_json(tmp_path / "R" / "metrics.json")["corpora"] == metrics["corpora"]
    assert "Across corpora" in (tmp_path / "R" / "report.html").read_text()


def test_a_small_corpus_counts_as_much_as_a_large_one(options, three, write_features, acted, tmp_path):
    # Two corpora contradict each other; where one is nine times the other, unweighted training would follow it.
    def of(corpus, actors, times, sounds):
        rows = [
            {**row, "clip": f"{corpus}-{row['clip']}", "sounds": sounds.get(row["emotion"], row["emotion"])}
            for row in acted(actors, ("happy", "sad"), times, corpus=corpus)
        ]
        return str(write_features(tmp_path / corpus, rows, signal=1.0))

    large = of("large", range(1, 4), 18, {"happy": "sad", "sad": "happy"})
    small = of("small", range(4, 7), 2, {})
    tested = of("tested", range(7, 10), 6, {})
    metrics = evaluate(options(data=(large, small, tested), model="svc-linear", out=str(tmp_path / "B"))).metrics
    table = pq.read_table(tmp_path / "B" / "predictions.parquet").to_pylist()
    confidence = np.mean([row["confidence"] for row in table if row["fold"] == "tested"])
    assert {row["name"] for row in metrics["corpora"]} == {"large", "small", "tested"}
    assert confidence < 0.6  # with corpora as they are: above 0.8, and wrong


def test_models_that_see_are_refused_and_one_corpus_is(options, three):
    with pytest.raises(
        UserError, match="--protocol cross-corpus is for models that hear, and cnn sees: choose grouped5"
    ):
        evaluate(options(model="cnn"))
    with pytest.raises(
        UserError, match="trains on some corpora and tests on another, and all clips are of one, 'nemo'"
    ):
        evaluate(options(data=(three[2],)))

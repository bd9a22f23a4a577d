"""By whose clips a fold is adapted, what is refused, and what metrics.json and the page say of it."""

import numpy as np
import pytest

from emocore.datasets.examples import Examples
from emocore.datasets.groups import archives
from emocore.datasets.protocols import Fold
from emocore.errors import UserError
from emocore.features.family import ABSENT
from emocore.models.adaptation import Adaptation
from emocore.models.fitting import Fitted, Recipe, fit_final
from emocore.models.lda import scale_of
from emocore.pipeline.options.run import EvaluateOptions, check_adapt
from emocore.pipeline.run_folder import facts_of_adaptation
from emocore.pipeline.runs import evaluate
from emocore.pipeline.training.adapting import answer_adapted, clip_groups, moved_inputs
from emocore.pipeline.training.folds import FoldResult
from emocore.probabilities import softmax
from emocore.reports.summary import run_line
from emocore.reports.tables import adaptation_tables
from emocore.schema import CLIPS, rows_to_table

RNG = np.random.default_rng(0)
N = 240
EMOTIONS_OF = np.arange(N) % 3
ACTORS = np.arange(N) // 40
SOFT = np.eye(8, dtype=np.float32)[EMOTIONS_OF]
X = (np.eye(3)[EMOTIONS_OF] * 3 + RNG.normal(0, 0.5, (N, 3)) + RNG.normal(0, 1.2, (6, 3))[ACTORS]).astype(np.float32)
FOLD = Fold("1", np.arange(160), np.zeros(0, np.int64), np.arange(160, N))


def clips(n=N, **columns):
    rows = [{"clip": str(i), "take": str(i), "path": f"/{i}", "actor": f"{ACTORS[i] + 1}"} for i in range(n)]
    return rows_to_table([row | {name: of(i) for name, of in columns.items()} for i, row in enumerate(rows)], CLIPS)


def options(**told):
    return EvaluateOptions(**{"data": ("nowhere",), "out": "RUN", "model": "lda", "protocol": "loso", **told})


def fitted(x):
    return fit_final(Recipe("svc"), x, SOFT, FOLD.train, [])


def test_without_adaptation_there_are_no_groups():
    assert clip_groups("none", clips(), None) is None


def test_an_archive_is_what_a_column_corpus_says():
    assert set(archives(clips())) == {"all"}
    told = clips(extra=lambda i: [("corpus", "a" if i < 100 else "b")])
    assert archives(told).tolist() == ["a"] * 100 + ["b"] * (N - 100)
    found = clip_groups("archive", told, None)
    assert found.speakers is None and found.moves(FOLD)
    assert not clip_groups("archive", clips(), None).moves(FOLD)


def test_a_speaker_is_the_actor_or_a_column_of_people():
    assert set(clip_groups("speaker", clips(), None).names) == {"01", "02", "03", "04", "05", "06"}
    told = clips(extra=lambda i: [("client", f"c{i % 2}")])
    assert set(clip_groups("speaker", told, "client").names) == {"c0", "c1"}


@pytest.mark.parametrize("column", [None, "clip"])
def test_speakers_who_are_not_known_are_refused(column):
    with pytest.raises(UserError, match=r"^--adapt speaker goes by who speaks, which 240 of 240 clips do not say: "):
        clip_groups("speaker", clips(actor=lambda _: None), column)


def test_training_is_moved_by_its_own_clips_and_nothing_else():
    of_clips = clip_groups("speaker", clips(), None)
    moved = moved_inputs(X, SOFT, of_clips, FOLD)
    reference = scale_of(X[FOLD.train])
    for actor in range(4):
        np.testing.assert_allclose(moved[actor == ACTORS].mean(axis=0), reference[0], atol=1e-4)
    assert not moved[FOLD.test].any()
    other = X.copy()
    other[FOLD.test] += 100
    np.testing.assert_array_equal(moved_inputs(other, SOFT, of_clips, FOLD), moved)


def test_speakers_who_differ_are_told_better_by_their_own_statistics():
    of_clips = clip_groups("speaker", clips(), None)
    plain, moved = fitted(X), fitted(moved_inputs(X, SOFT, of_clips, FOLD))
    found, how = answer_adapted(X, FOLD, of_clips, plain, moved)
    np.testing.assert_array_equal(how.plain, softmax(plain.classifier.logits(X[FOLD.test]), 1.0))
    right = [(p.argmax(axis=1) == EMOTIONS_OF[FOLD.test]).mean() for p in (how.plain, found)]
    assert right[1] == 1.0 > right[0]
    assert list(how.trust) == ["05", "06"]


def test_an_archive_without_a_second_model_is_answered_for_by_the_first():
    plain = fitted(X)
    found, how = answer_adapted(X, FOLD, clip_groups("archive", clips(), None), plain, None)
    assert isinstance(plain, Fitted) and found.shape == how.plain.shape and list(how.trust) == ["all"]


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"protocol": "as-is"}, "needs the statistics of the training, and 'as-is' has none: choose another protocol."),
        ({"model": "cnn"}, "moves columns, which cnn does not read: choose a model of columns, such as lda."),
        ({"model": "audio-conv1d"}, "moves columns, which audio-conv1d does not read: choose a model of columns"),
        ({"clips_from": "windows"}, "goes by the first window of each clip: leave out --clips-from windows."),
    ],
)
def test_what_cannot_be_adapted_is_refused_before_anything_is_read(told, sentence):
    with pytest.raises(UserError) as error:
        evaluate(options(adapt="archive", **told))
    assert str(error.value).startswith(f"--adapt archive {sentence}")
    check_adapt(options(**told), "cnn")  # none is for every model


def metrics_of(trust):
    rows = np.arange(6)
    soft = np.eye(8, dtype=np.float32)[rows % 2]
    examples = Examples(clips=clips(6), soft=soft, inputs={}, synthetic=False)
    results = []
    for name, part, of_fold in (("1", rows[:3], trust), ("2", rows[3:], {"03": 0.0})):
        how = Adaptation("speaker", of_fold, soft[::-1][part])
        results.append(FoldResult(name, part, soft[part], 1.0, {}, {}, True, adaptation=how))
    return facts_of_adaptation(examples, results)


def test_metrics_say_what_is_transductive_and_what_it_is_without():
    assert metrics_of({"01": 0.123456, "02": 0.0}) == {
        "adapt": "speaker",
        "transductive": True,
        "trust": {"01": 0.123, "02": 0.0, "03": 0.0},
        "stepped_back": ["02", "03"],
        "unadapted": {"n": 6, "accuracy": 0.0, "uar": 0.0},
    }


def test_the_line_and_the_page_show_both_figures_apart():
    told = {"model": "lda", "protocol": "loso", "n": 6, "accuracy": 1.0, "uar": 1.0, "ci95_uar": [0.9, 1.0]}
    metrics = {**told, "ci95_resampled": "actors", **metrics_of({"01": 1.0})}
    assert "; transductive, by the statistics of each tested speaker, 1 of 2 stepped back: UAR 0.0 % as it is" in (
        run_line(metrics)
    )
    figures, trust = adaptation_tables(metrics)
    assert list(figures.head) == ["", "as it is (inductive)", "by speaker (transductive)"]
    assert [row[0] for row in figures.rows] == ["UAR", "accuracy"]
    assert figures.rows[0][1].startswith("0.0") and figures.rows[0][2].startswith("100.0")
    assert [row[:2] for row in trust.rows] == [["01", ""], ["03", "stepped back"]]
    assert adaptation_tables(told) == [] and "transductive" not in run_line({**told, "ci95_resampled": "actors"})


def test_values_that_are_absent_are_absent_in_what_is_moved():
    x = X.copy()
    x[::5, 0] = ABSENT
    moved = moved_inputs(x, SOFT, clip_groups("speaker", clips(), None), FOLD)
    assert (moved[FOLD.train][::5, 0] == np.float32(ABSENT)).all()

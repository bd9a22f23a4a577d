"""The models over columns against the same estimators built from scikit-learn and XGBoost directly."""

import importlib.util
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_class_weight
from threadpoolctl import threadpool_limits

from emocore.errors import UserError
from emocore.models.base import class_weights, weighted_rows
from emocore.models.catalogue import MODELS, classifier_class, find_model
from emocore.probabilities import softmax

SMALL = {"random-forest": {"n_estimators": 40}, "xgboost": {"n_estimators": 8}, "mlp": {"max_iter": 25}}
CLASSICAL = ["svc", "svc-linear", "random-forest", "xgboost", "mlp"]
ONES = np.ones(8, np.float32)


def clusters(classes=(0, 2, 4, 5), each=15, seed=0, noise=2.0):
    """Overlapping clouds: float32[n, 160] of very different scales, and their classes."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((8, 160))
    y = np.repeat(classes, each)
    x = (centres[y] + noise * rng.standard_normal((len(y), 160))) * np.logspace(-2, 2, 160)
    x[:, 40:70] = 3  # some say nothing, as the least loudness of a clip may: gamma "scale" is not "auto" then
    return x.astype("f4"), y


def onehot(y):
    return np.eye(8, dtype=np.float32)[y]


def fit(name, x, soft, weights=ONES, seed=0, threads=1):
    model = classifier_class(name)(name, seed, threads, SMALL.get(name))
    assert model.fit(x, soft, weights * (soft.sum(axis=0) > 0), None) == {}
    return model


def reference(name, seed=0):
    """The estimator as scikit-learn's documentation would build it."""
    settings = SMALL.get(name, {})
    return {
        "svc": lambda: make_pipeline(StandardScaler(), OneVsRestClassifier(SVC(C=10, gamma="scale"))),
        "svc-linear": lambda: make_pipeline(StandardScaler(), OneVsRestClassifier(SVC(C=1, kernel="linear"))),
        "random-forest": lambda: RandomForestClassifier(**settings, random_state=seed),
        "mlp": lambda: make_pipeline(StandardScaler(), MLPClassifier((100,), alpha=1.0, **settings, random_state=seed)),
        "xgboost": lambda: xgboost.XGBClassifier(**settings, random_state=seed, n_jobs=1),
    }[name]()


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("classes", [(0, 2, 4, 5), (3, 6), range(8)])
def test_answers_are_those_of_the_estimator_built_directly(name, classes):
    x, y = clusters(classes)
    test, truth = clusters(classes, each=25, seed=1)
    logits = fit(name, x, onehot(y)).logits(test)
    encoded = np.searchsorted(np.array(classes), y)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        other = reference(name).fit(x.astype(np.float64), encoded)

    absent = sorted(set(range(8)) - set(classes))
    assert (logits.shape, logits.dtype) == ((len(test), 8), np.float64)
    assert np.isneginf(logits[:, absent]).all()
    assert np.isfinite(logits[:, list(classes)]).all()
    np.testing.assert_array_equal(logits.argmax(axis=1), np.array(classes)[other.predict(test.astype(np.float64))])
    assert (logits.argmax(axis=1) == truth).mean() > 2 / len(classes) - 0.3 * (len(classes) == 2)
    if hasattr(other, "predict_proba"):
        shares = other.predict_proba(test.astype(np.float64))
        tolerance = {"random-forest": 1e-4, "mlp": 1e-4}.get(name, 1e-5)
        np.testing.assert_allclose(softmax(logits)[:, list(classes)], shares, atol=tolerance)


@pytest.mark.parametrize("name", ["svc", "svc-linear", "random-forest", "xgboost"])
def test_a_soft_label_is_two_half_weighted_rows(name):
    x, y = clusters((1, 4, 7))
    soft = onehot(y)
    soft[::5] = 0
    soft[::5, [1, 4]] = 0.5
    weights = np.array([0, 1.5, 0, 0, 0.5, 0, 0, 1], np.float32)
    test, _ = clusters((1, 4, 7), seed=1)
    found = fit(name, x, soft, weights).logits(test)

    rows, target, share = [], [], []
    for i, label in enumerate(y):
        for part, weight in [(1, 0.5), (4, 0.5)] if i % 5 == 0 else [(label, 1.0)]:
            rows.append(i)
            target.append(part)
            share.append(weight * {1: 1.5, 4: 0.5, 7: 1.0}[part])
    target, share = np.array(target), np.array(share)
    if name.startswith("svc"):
        scaled = StandardScaler().fit(x[rows])
        settings = {"C": 10, "gamma": "scale"} if name == "svc" else {"C": 1, "kernel": "linear"}
        for emotion in (1, 4, 7):  # one against the rest, by hand
            machine = SVC(**settings).fit(scaled.transform(x[rows]), target == emotion, sample_weight=share)
            expected = machine.decision_function(scaled.transform(test))
            np.testing.assert_allclose(found[:, emotion], expected, atol=1e-6)
    else:
        encoded = np.searchsorted([1, 4, 7], target)
        shares = reference(name).fit(x[rows], encoded, sample_weight=share).predict_proba(test)
        np.testing.assert_allclose(softmax(found)[:, [1, 4, 7]], shares, atol=1e-4)


@pytest.mark.parametrize("name", CLASSICAL)
def test_weights_reach_the_learner(name):
    x, y = clusters((0, 1), each=40)
    test, _ = clusters((0, 1), each=100, seed=1)
    x, test = x[:, :2], test[:, :2]  # in two columns the clouds overlap: no line parts them
    heavy = ONES.copy()
    heavy[1] = 0.02 if name != "random-forest" else 1e-9
    plain, leaning = (fit(name, x, onehot(y), w).logits(test).argmax(axis=1) for w in (ONES, heavy))
    assert (leaning == 0).sum() > (plain == 0).sum()


def test_balanced_weights_are_scikit_learns():
    y = np.repeat([0, 3, 7], [5, 40, 11])
    expected = np.zeros(8)
    expected[[0, 3, 7]] = compute_class_weight("balanced", classes=np.array([0, 3, 7]), y=y)
    np.testing.assert_allclose(class_weights(onehot(y), balanced=True), expected, rtol=1e-6)
    np.testing.assert_array_equal(class_weights(onehot(y), balanced=False), expected > 0)


@pytest.mark.parametrize(("rows", "named"), [([4, 4, 4], "angry"), ([], "no emotion")])
def test_one_emotion_alone_is_one_sentence(rows, named):
    with pytest.raises(UserError) as error:
        class_weights(onehot(np.array(rows, int)), balanced=True)
    assert str(error.value) == (f"The training clips show only {named}: at least two emotions are needed to train.")


def test_rows_of_soft_labels_keep_their_weight():
    soft = np.random.default_rng(0).dirichlet(np.ones(8), 50).astype("f4")
    rows, target, weight = weighted_rows(soft, 2 * ONES)
    assert len(rows) == 400
    np.testing.assert_allclose(np.bincount(rows, weight), 2, atol=1e-6)
    np.testing.assert_allclose(np.bincount(target, weight), 2 * soft.sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_seed_repeats_and_threads_change_nothing(name):
    x, y = clusters((0, 2, 5), noise=4.0)
    test, _ = clusters((0, 2, 5), seed=1, noise=4.0)
    first, again = (fit(name, x, onehot(y), seed=7).logits(test) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    if name != "mlp":  # its sums differ in the last bits
        np.testing.assert_array_equal(fit(name, x, onehot(y), seed=7, threads=2).logits(test), first)
    if name in ("random-forest", "mlp"):
        assert (fit(name, x, onehot(y), seed=8).logits(test) != first).any()


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("classes", [(1, 6), (0, 2, 4, 5)])
def test_saved_and_loaded_it_gives_the_same_logits(name, classes, tmp_path):
    x, y = clusters(classes)
    model = fit(name, x, onehot(y))
    model.save(tmp_path)
    loaded = classifier_class(name).load(tmp_path, name)
    np.testing.assert_array_equal(loaded.logits(x), model.logits(x))


def test_defaults_are_those_of_the_readme():
    forest = classifier_class("random-forest")("random-forest", threads=2).pipeline[-1]
    assert (forest.n_estimators, forest.n_jobs) == (500, 2)


def test_names():
    reads = [find_model(name).reads for name in MODELS]
    acoustic = ("functionals", "gabor", "high-band")
    heard = [*5 * [("article",)], ("article-frames",), ("logmel",), acoustic, (*acoustic, "speech-encoder"), acoustic]
    assert reads == [*heard, *3 * [("pictures",)]]
    with pytest.raises(UserError) as error:
        classifier_class("svm")
    assert str(error.value) == (
        "--model 'svm' is unknown: choose one of svc, svc-linear, random-forest, xgboost, mlp, audio-conv1d, "
        "audio-cnn, lda, voice, voice-scratch, cnn, transfer, face-cnn, "
        "my_module:NAME, or the folder of a run."
    )


# What a bundle from elsewhere may hold

EVIL = """
from pathlib import Path
from sklearn.base import BaseEstimator
class Evil(BaseEstimator):
    def __init__(self, target=None):
        self.target = target
    def __setstate__(self, state):
        Path(state["target"]).touch()
"""


def refused(folder):
    with pytest.raises(UserError) as error:
        classifier_class("svc").load(folder, "svc")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_foreign_type_is_refused_and_never_runs(tmp_path):
    source, marker = tmp_path / "evil_module_of_a_test.py", tmp_path / "it ran"
    source.write_text(EVIL)
    spec = importlib.util.spec_from_file_location("evil_module_of_a_test", source)
    module = importlib.util.module_from_spec(spec)
    sys.modules["evil_module_of_a_test"] = module
    try:
        spec.loader.exec_module(module)
        skops.io.dump(make_pipeline(module.Evil(str(marker)), SVC()), tmp_path / "model.skops")
        assert refused(tmp_path) == (
            f"{tmp_path / 'model.skops'} holds the type evil_module_of_a_test.Evil, which no model of ours has "
            "there: use a bundle that you trust."
        )
        assert not marker.exists()
        skops.io.load(tmp_path / "model.skops", trusted=["evil_module_of_a_test.Evil"])
        assert marker.exists()  # so it would have
    finally:
        del sys.modules["evil_module_of_a_test"]


def test_a_function_in_a_pipeline_is_refused(tmp_path):
    skops.io.dump(make_pipeline(FunctionTransformer(func=Path.touch), SVC()), tmp_path / "model.skops")
    assert "holds the type sklearn.preprocessing._function_transformer.FunctionTransformer" in refused(tmp_path)


def test_a_pickle_in_the_place_of_the_model_is_one_sentence(tmp_path):
    (tmp_path / "model.skops").write_bytes(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtins.")
    assert "model.skops" in refused(tmp_path)


def test_a_model_cut_short_or_missing_is_one_sentence(tmp_path):
    x, y = clusters((1, 6))
    fit("svc", x, onehot(y)).save(tmp_path)
    content = (tmp_path / "model.skops").read_bytes()
    (tmp_path / "model.skops").write_bytes(content[: len(content) // 2])
    assert "model.skops" in refused(tmp_path)
    (tmp_path / "model.skops").unlink()
    assert "model.skops" in refused(tmp_path)


@pytest.mark.parametrize("name", CLASSICAL)
def test_what_is_saved_holds_no_pickle(name, tmp_path):
    x, y = clusters((1, 6))
    fit(name, x, onehot(y)).save(tmp_path)
    for path in tmp_path.iterdir():
        members = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                assert {Path(member).suffix for member in archive.namelist()} <= {".json", ".npy"}
                members = [archive.read(member) for member in archive.namelist()]
        for content in members:
            assert not content.startswith(b"\x80")  # the PROTO opcode of every pickle since protocol 2
            assert b"|O" not in content[:256]  # an array of Python objects would be one
        assert path.suffix in {".skops", ".json"}

"""A model is a stranger's file: what our own save does not write is refused in one sentence, before it is used."""

import json
import os

import numpy as np
import pytest
import skops.io
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC

from emocore.errors import UserError
from emocore.models.bundle import bundle_hash, read_card
from emocore.models.catalogue import classifier_class
from emocore.models.foreign import check_zip, read_array
from emocore.models.trees import check_tree

EMOTIONS_SHOWN = np.repeat([1, 4, 6], 12)
SOFT = np.eye(8, dtype="f4")[EMOTIONS_SHOWN]
X = (np.random.default_rng(0).normal(size=(36, 160)) + np.eye(160)[EMOTIONS_SHOWN] * 3).astype("f4")
SMALL = {"random-forest": {"n_estimators": 4}, "xgboost": {"n_estimators": 4}, "mlp": {"max_iter": 20}}


DROPS = ([], [1.0], ["x"] * 12, [float("nan")] * 12, {})


def fit(name, folder):
    model = classifier_class(name)(name, settings=SMALL.get(name))
    model.fit(X, SOFT, (SOFT.sum(axis=0) > 0).astype("f4"), None)
    model.save(folder)
    return model


def refused(name, folder):
    with pytest.raises(UserError) as error:
        classifier_class(name).load(folder, name)
    assert "\n" not in str(error.value)
    return str(error.value)


def fitted_machines(inner):
    """An svc as ours, but for the machines inside."""
    pipeline = make_pipeline(StandardScaler(), OneVsRestClassifier(SVC())).fit(X, EMOTIONS_SHOWN)
    pipeline[-1].estimators_ = [inner.fit(X, EMOTIONS_SHOWN == 1)] * 3
    return pipeline


@pytest.mark.parametrize(
    "inner",
    [
        make_pipeline(PolynomialFeatures(1), SVC()),
        make_pipeline(FunctionTransformer(np.positive), LinearSVC()),
        make_pipeline(StandardScaler(), SVC()),
    ],
    ids=["polynomial", "function", "pipeline"],
)
def test_what_is_nested_in_a_machine_is_looked_at(inner, tmp_path):
    skops.io.dump(fitted_machines(inner), tmp_path / "model.skops")
    assert "use a bundle that you trust" in refused("svc", tmp_path)


def test_what_reads_files_is_never_brought_to_life(tmp_path):
    skops.io.dump(make_pipeline(HashingVectorizer(input="filename"), SVC()), tmp_path / "model.skops")
    assert "HashingVectorizer" in refused("svc", tmp_path)


def test_a_machine_of_unequal_parts_is_refused(tmp_path):
    model = fit("svc", tmp_path)
    machine = model.pipeline[-1].estimators_[0]
    machine._n_support = np.array([10**6, 1], np.int32)
    model.save(tmp_path)
    assert "unequal parts" in refused("svc", tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_n_support", np.array([-1, 1], np.int32)),
        ("_n_support", np.array([[1], [1]], np.int32)),
        ("_n_support", np.array([0.5, 0.5])),
        ("_dual_coef_", np.zeros((1, 3))),
        ("_intercept_", np.zeros(2)),
        ("support_", np.zeros(3, np.int32)),
        ("support_vectors_", np.zeros((5, 3))),
    ],
)
def test_arrays_of_a_machine_fit_together(name, value, tmp_path):
    model = fit("svc", tmp_path)
    setattr(model.pipeline[-1].estimators_[1], name, value)
    model.save(tmp_path)
    assert "unequal parts" in refused("svc", tmp_path)


@pytest.mark.parametrize(
    ("left", "right", "columns"),
    [([0, -1, -1], [2, -1, -1], [0, -2, -2]), ([1, 0, -1], [2, 2, -1], [0, 0, -2]), ([9, -1], [1, -1], [0, -2])],
)
def test_trees_that_lead_nowhere(left, right, columns):
    with pytest.raises(ValueError, match="nowhere"):
        check_tree(left, right, columns, 160)


def test_trees_that_end_are_trees():
    check_tree([1, -1, 3, -1, -1], [2, -1, 4, -1, -1], [159, -2, 0, -2, -2], 160)
    with pytest.raises(ValueError, match="nowhere"):
        check_tree([1, -1, -1], [2, -1, -1], [160, -2, -2], 160)


def change_xgboost(folder, change):
    path = folder / "model.json"
    model = json.loads(path.read_text())
    change(model["learner"]["gradient_booster"]["model"])
    path.write_text(json.dumps(model))


def loop(forest):
    tree = next(tree for tree in forest["trees"] if tree["left_children"][0] != -1)
    tree["left_children"][0] = 0


def far_column(forest):
    tree = next(tree for tree in forest["trees"] if tree["left_children"][0] != -1)
    tree["split_indices"][0] = 10**6


@pytest.mark.parametrize("change", [loop, far_column, lambda forest: forest.update(tree_info=[99] * 12)])
def test_boosted_trees_are_looked_through_before_their_library_sees_them(change, tmp_path):
    fit("xgboost", tmp_path)
    classifier_class("xgboost").load(tmp_path, "xgboost")
    change_xgboost(tmp_path, change)
    assert "is no xgboost of ours" in refused("xgboost", tmp_path)


def many_answers(forest):
    forest["trees"][0]["tree_param"]["size_leaf_vector"] = "100000"


def change_learner(folder, change):
    path = folder / "model.json"
    model = json.loads(path.read_text())
    change(model["learner"])
    path.write_text(json.dumps(model))


def of_parameter(name, value):
    return lambda learner: learner["learner_model_param"].update({name: value})


def of_tree(name, value):
    return lambda learner: learner["gradient_booster"]["gbtree"]["model"]["trees"][0].update({name: value})


@pytest.mark.parametrize(
    "change",
    [
        *(of_parameter("num_target", value) for value in ("0", "2", "1000000000", "x")),
        *(of_parameter("base_score", value) for value in ("[]", "[0,0]", "[1e999,0,0]", "NaN", "x", '["a",0,0]', "{}")),
        *(lambda learner, value=value: learner["gradient_booster"].update(weight_drop=value) for value in DROPS),
        *(of_tree("split_type", value) for value in ([], [0] * 10**4, "abc")),
        lambda learner: of_tree("split_type", [1] * len(first_tree(learner)["parents"]))(learner),
        lambda learner: learner["gradient_booster"].update(name="gpu"),
        *(
            lambda learner, ends=ends: learner["gradient_booster"]["gbtree"]["model"].update(iteration_indptr=ends)
            for ends in ([], [0, 10**6], [0, 6, 3, 12], [-1, 12])
        ),
    ],
)
def test_values_that_xgboost_would_believe_are_looked_at_first(change, tmp_path):
    model = classifier_class("xgboost")("xgboost", settings={"n_estimators": 4, "booster": "dart", "rate_drop": 0.5})
    model.fit(X, SOFT, (SOFT.sum(axis=0) > 0).astype("f4"), None)
    model.save(tmp_path)
    np.testing.assert_array_equal(classifier_class("xgboost").load(tmp_path, "xgboost").logits(X), model.logits(X))
    change_learner(tmp_path, change)
    assert "is no xgboost of ours" in refused("xgboost", tmp_path)


def first_tree(learner):
    return learner["gradient_booster"]["gbtree"]["model"]["trees"][0]


def test_a_tree_of_many_answers_is_refused(tmp_path):
    fit("xgboost", tmp_path)
    change_xgboost(tmp_path, many_answers)
    assert "is no xgboost of ours" in refused("xgboost", tmp_path)


def test_trees_of_a_second_margin_where_two_classes_have_one(tmp_path):
    model = classifier_class("xgboost")("xgboost", settings={"n_estimators": 4})
    two = SOFT[:24]
    model.fit(X[:24], two, (two.sum(axis=0) > 0).astype("f4"), None)
    model.save(tmp_path)
    classifier_class("xgboost").load(tmp_path, "xgboost")
    change_xgboost(tmp_path, lambda forest: forest.update(tree_info=[1] * len(forest["trees"])))
    assert "trees of other classes" in refused("xgboost", tmp_path)


@pytest.mark.parametrize(("name", "value"), [("kernel", "precomputed"), ("_gamma", float("nan")), ("degree", 10**9)])
def test_a_kernel_of_another_kind_is_refused(name, value, tmp_path):
    model = fit("svc", tmp_path)
    setattr(model.pipeline[-1].estimators_[0], name, value)
    model.save(tmp_path)
    assert "is no svc" in refused("svc", tmp_path)


@pytest.mark.parametrize(
    ("name", "settings"), [("mlp", {"solver": "sgd"}), ("mlp", {"solver": "lbfgs"}), ("svc", {"kernel": "poly"})]
)
def test_what_can_be_set_can_be_read_again(name, settings, tmp_path):
    model = classifier_class(name)(name, settings={**SMALL.get(name, {}), **settings})
    model.fit(X, SOFT, (SOFT.sum(axis=0) > 0).astype("f4"), None)
    model.save(tmp_path)
    np.testing.assert_array_equal(classifier_class(name).load(tmp_path, name).logits(X), model.logits(X))


@pytest.mark.parametrize("classes", [[-1, -4, -6], [0, 0, 0], [1, 4], [1, 4, 99], "abc", {}])
def test_classes_are_different_emotions(classes, tmp_path):
    fit("xgboost", tmp_path)
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    assert "use a bundle that you trust" in refused("xgboost", tmp_path)


@pytest.mark.parametrize("name", ["svc", "svc-linear", "random-forest", "mlp", "xgboost"])
def test_what_is_ours_is_read_and_answers_as_before(name, tmp_path):
    model = fit(name, tmp_path)
    np.testing.assert_array_equal(classifier_class(name).load(tmp_path, name).logits(X), model.logits(X))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bundle.json").write_text("{}")
    (tmp_path / "model.skops").write_bytes(b"x")
    return tmp_path


def test_what_file_managers_leave_is_no_part_of_a_model(folder):
    before = bundle_hash(folder)
    (folder / ".DS_Store").touch()
    (folder / ".ipynb_checkpoints").mkdir()
    assert bundle_hash(folder) == before


def test_links_and_pipes_are_neither_followed_nor_waited_for(folder):
    (folder / "x").symlink_to("/dev/zero")
    for read in (bundle_hash, lambda place: read_card(str(place))):
        with pytest.raises(UserError, match="is no regular file"):
            read(folder)
    (folder / "x").unlink()
    os.mkfifo(folder / "x")
    with pytest.raises(UserError, match="is no regular file"):
        bundle_hash(folder)


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"schema_version": "2", "model": "svc", "temperature": 1' + "0" * 400 + "}"]
)
def test_a_card_without_an_end_is_one_sentence(folder, content):
    (folder / "bundle.json").write_text(content)
    with pytest.raises(UserError, match="is not the card of a bundle"):
        read_card(str(folder))


def test_the_size_comes_before_the_content(tmp_path, monkeypatch):
    monkeypatch.setattr("emocore.models.foreign.MOST_UNPACKED", 1_000)
    fit("svc", tmp_path)
    with pytest.raises(UserError, match=r"unpacks to [0-9,]+ bytes, 1,000 at most are read"):
        check_zip(tmp_path / "model.skops")
    np.save(tmp_path / "known.npy", np.zeros(3, bool))
    with pytest.raises(UserError, match=r"holds no bool \(8,\)"):
        read_array(tmp_path / "known.npy", (8,), bool)

"""Train and evaluate on a running Ray: folds that nobody leaks through, figures that others compute too."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, recall_score
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_info

from emocore.datasets.examples import labelled, load_examples
from emocore.datasets.protocols import make_folds
from emocore.errors import UserError
from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.labels import EMOTIONS
from emocore.models import classical
from emocore.models.base import exhaust
from emocore.models.bundle import load_bundle
from emocore.models.fitting import Recipe, fit_inner
from emocore.pipeline.runs import evaluate, train
from emocore.pipeline.training.fit_arrays import run_folds
from emocore.schema import PREDICTIONS, PROBABILITIES
from emocore.storage.files import read_json

pytestmark = pytest.mark.usefixtures("cluster")
CONV1D = {"model.keras", "known.npy", "scale.npy", "settings.json"}
EVALUATED = {"config.json", "metrics.json", "predictions.parquet", "report.html"}


@pytest.fixture
def run(tmp_path, job_modules):
    """Train or evaluate, with the options of the job, into a new folder (or the one named), and return it."""

    def call(command, *data, model="svc", protocol="loso", out=None, **options):
        out = out or tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        kind = getattr(job_modules[command.__name__], command.__name__.capitalize())
        told = kind(data=tuple(map(str, data)), out=str(out), model=str(model), protocol=protocol, **options)
        command(told)
        return out

    return call


def visible(folder):
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}


def predictions(run):
    return pq.read_table(run / "predictions.parquet")


def shares(table):
    return np.column_stack([table[name].to_numpy() for name in PROBABILITIES])


def by_clip(run, *columns):
    """Clip → its answer, whatever the order of the rows."""
    rows = predictions(run).select(["clip", *(columns or PROBABILITIES)]).to_pylist()
    assert len({row["clip"] for row in rows}) == len(rows)
    return {row.pop("clip"): row for row in rows}


@pytest.fixture(scope="module")
def four(acted, write_features, tmp_path_factory):
    """Hand-written FEATURES: actors 1 to 4, 64 clips, told apart fairly well."""
    return write_features(tmp_path_factory.mktemp("four") / "F", acted(range(1, 5)))


@pytest.fixture(scope="module")
def all24(acted, write_features, tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("all24") / "F", acted(range(1, 25), times=1))


def test_an_evaluation_holds_what_the_contract_says(features, run):
    out = run(evaluate, features)
    assert visible(out) == EVALUATED
    table = predictions(out)
    assert table.schema.remove_metadata() == PREDICTIONS and table.column_names[:10] == [
        *("clip", "take", "actor", "gender", "intensity", "statement", "emotion"),
        *("predicted", "confidence", "runner_up"),
    ]
    assert sorted(table["clip"].to_pylist()) == sorted(pq.read_table(features / "clips")["clip"].to_pylist())
    assert table["fold"].to_pylist() == table["actor"].to_pylist()  # loso: a fold bears its actor's name
    report = (out / "report.html").read_text()
    assert not re.search(r"<(script|link)[^>]+(src|href)=|src=.(?!data:)|url\(.?http", report)  # fetches nothing


def test_an_answer_is_the_largest_share(four, run):
    table = predictions(run(evaluate, four))
    p = shares(table)
    np.testing.assert_allclose(p.astype(np.float64).sum(axis=1), 1, atol=1e-6)
    assert table["predicted"].to_pylist() == [EMOTIONS[i] for i in p.argmax(axis=1)]
    np.testing.assert_array_equal(table["confidence"].to_numpy(), p.max(axis=1))
    second = np.where(p == p.max(axis=1, keepdims=True), -1, p).argmax(axis=1)
    assert table["runner_up"].to_pylist() == [EMOTIONS[i] for i in second]


def test_the_figures_are_those_of_scikit_learn(four, run):
    out = run(evaluate, four)
    metrics, table = read_json(out / "metrics.json"), predictions(out)
    truth, predicted = table["emotion"].to_pylist(), table["predicted"].to_pylist()
    assert metrics["n"] == 64 and metrics["protocol"] == "loso" and metrics["model"] == "svc"
    assert metrics["classes"] == list(EMOTIONS)
    assert 0.3 < metrics["accuracy"] < 1  # neither chance nor certain, so that what follows could be false
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert metrics["uar"] == pytest.approx(balanced_accuracy_score(truth, predicted))
    assert metrics["confusion"] == confusion_matrix(truth, predicted, labels=EMOTIONS).tolist()
    recalls = recall_score(truth, predicted, labels=EMOTIONS, average=None)
    assert metrics["recall"] == pytest.approx(dict(zip(EMOTIONS, recalls, strict=True)))
    low, high = metrics["ci95_uar"]
    assert low <= metrics["uar"] <= high and metrics["ci95_resampled"] == "actors"
    assert [fold["name"] for fold in metrics["folds"]] == ["01", "02", "03", "04"] and metrics["seconds"] > 0
    for fold in metrics["folds"]:
        mine = [
            t == p for t, p, f in zip(truth, predicted, table["fold"].to_pylist(), strict=True) if f == fold["name"]
        ]
        assert fold["accuracy"] == pytest.approx(np.mean(mine)) and fold["test_actors"] == [fold["name"]]


@pytest.mark.parametrize("model", ["svc", "mlp"])
def test_no_label_of_an_actor_reaches_the_model_that_scores_the_actor(model, acted, write_features, run, tmp_path):
    honest = acted([1, 2, 3], times=1)
    shifted = [dict(row) for row in honest]
    for row in shifted:
        if row["actor"] == "02":
            row["sounds"] = row["emotion"]
            row["emotion"] = EMOTIONS[(EMOTIONS.index(row["emotion"]) + 3) % 8]
    before = by_clip(run(evaluate, write_features(tmp_path / "honest", honest), model=model))
    after = by_clip(run(evaluate, write_features(tmp_path / "shifted", shifted), model=model))
    own = {clip for clip in before if clip.startswith("2-")}
    assert {clip: before[clip] for clip in own} == {clip: after[clip] for clip in own} and len(own) == 8
    assert all(before[clip] != after[clip] for clip in before.keys() - own)  # the others did learn from them


def test_nothing_of_an_actors_sound_reaches_the_scaler_or_the_temperature(acted, write_features, run, tmp_path):
    rows = acted([1, 2, 3], times=1)
    more = [*rows, *(dict(row, clip=f"{row['clip']}-more") for row in rows if row["actor"] == "02")]
    before = by_clip(run(evaluate, write_features(tmp_path / "F", rows)))
    after = by_clip(run(evaluate, write_features(tmp_path / "G", more)))
    own = {clip for clip in before if clip.startswith("2-")}
    assert all(before[clip] == pytest.approx(after[clip], abs=1e-6) for clip in own)  # scored by the same model
    assert all(before[clip] != pytest.approx(after[clip], abs=1e-6) for clip in before.keys() - own)


@pytest.mark.parametrize(
    ("protocol", "actors", "folds", "empty"),
    [
        ("loso", (1, 2, 3), 3, 0),
        ("grouped5", (1, 2, 3), 3, 2),
        ("sequential6", (1, 2, 24), 2, 4),
        ("luna5", (1, 2, 3, 5), 3, 2),
        ("emobox6", (1, 11, 24), 2, 4),
    ],
)
def test_a_protocol_scores_every_clip_once_and_counts_its_empty_folds(
    protocol, actors, folds, empty, acted, write_features, run, tmp_path
):
    out = run(evaluate, write_features(tmp_path / "F", acted(actors, times=1)), protocol=protocol)
    metrics = read_json(out / "metrics.json")
    assert (len(metrics["folds"]), metrics["empty_folds"]) == (folds, empty)
    assert len(by_clip(out)) == metrics["n"] == 8 * len(actors)


def test_article_tests_on_the_last_four_actors_and_trains_on_the_rest(all24, run):
    scored = run(evaluate, all24, protocol="article")
    assert set(predictions(scored)["actor"].to_pylist()) == {"21", "22", "23", "24"}
    trained = run(train, all24, protocol="article")
    assert visible(trained) == EVALUATED | {"model"}
    assert predictions(trained).equals(predictions(scored))
    assert read_json(trained / "metrics.json")["estimate"] == "test"
    heard = pq.read_table(trained / "model" / "training.parquet")["actor"].to_pylist()
    assert sorted(set(heard)) == [f"{actor:02d}" for actor in range(1, 21)]


def test_article_without_its_test_actors_is_refused(four, run):
    with pytest.raises(UserError, match=r"'article' tests on actors 21, 22, 23, 24 and none is present"):
        run(evaluate, four, protocol="article")


def test_given_follows_the_split_of_a_manifest(corpus, features_of, run, tmp_path):
    split = {"Actor_01": "train", "Actor_02": "Training", "Actor_03": "val", "Actor_04": "test"}
    emotions = dict(zip(("01", "02", "03", "04", "05", "06", "07", "08"), EMOTIONS, strict=True))
    rows = [
        f"{wav},{emotions[wav.stem[6:8]]},{wav.stem[-2:]},{split[wav.parent.name]}" for wav in corpus.rglob("*.wav")
    ]
    (tmp_path / "m.csv").write_text("\n".join(["path,emotion,actor,split", *rows]))
    out = run(train, tmp_path / "m.csv", protocol="given", out=tmp_path / "RUN")
    assert set(predictions(out)["actor"].to_pylist()) == {"04"} and len(by_clip(out)) == 16
    heard = pq.read_table(out / "model" / "training.parquet")["actor"].to_pylist()
    assert {"01", "02"} <= set(heard) and "04" not in heard
    assert visible(out) == EVALUATED | {"model", "features"}


def test_clips_that_chose_the_temperature_are_not_new_to_the_bundle(acted, write_features, run, tmp_path):
    rows = [*acted([1, 2], split="train"), *acted([3], split="validation"), *acted([4], split="test")]
    out = run(train, write_features(tmp_path / "F", rows), protocol="given")
    with pytest.raises(UserError, match=r"identical bytes|one take"):
        run(evaluate, write_features(tmp_path / "G", acted([3])), model=out, protocol="as-is")


def test_train_on_all_estimates_by_inner_folds(features, run):
    out = run(train, features, protocol="all")
    metrics = read_json(out / "metrics.json")
    assert visible(out) == EVALUATED | {"model"}
    assert metrics["estimate"] == "inner-folds" and metrics["n"] == 64 == len(by_clip(out))
    assert load_bundle(str(out)).card["n"] == 64
    in_sample = load_bundle(str(out)).probabilities(load_examples([str(features)], [ARTICLE], "speech").x)
    assert not np.allclose(in_sample, shares(predictions(out)), atol=0.05)


def test_inner_folds_are_scored_by_models_that_never_heard_the_actor(acted, write_features, run, tmp_path):
    rows = acted([1, 2, 3], times=1)
    swapped = [dict(row, sounds=row["emotion"], emotion="calm") if row["actor"] == "02" else row for row in rows]
    tables = [write_features(tmp_path / name, some) for name, some in {"rows": rows, "swapped": swapped}.items()]
    answers = [by_clip(run(train, table, protocol="all"), "predicted") for table in tables]
    assert all(answers[0][clip] == answers[1][clip] for clip in answers[0] if clip.startswith("2-"))
    assert answers[0] != answers[1]


def test_train_takes_protocols_of_one_fold_only(four, run):
    with pytest.raises(UserError, match=r"'loso' is not for this command: choose one of all, article, article-video,"):
        run(train, four, protocol="loso")
    with pytest.raises(UserError, match="'all' has no test clips"):
        run(evaluate, four, protocol="all")


def test_a_wrong_protocol_names_those_of_the_command(four, run):
    with pytest.raises(UserError, match=r"'random' is not for this command: choose one of article, .*as-is"):
        run(evaluate, four, protocol="random")


def test_finished_folds_are_not_fitted_again(acted, write_features, run, tmp_path, monkeypatch):
    data, out = write_features(tmp_path / "F", acted([1, 2, 3])), tmp_path / "RUN"
    whole = predictions(run(evaluate, data))

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("emocore.pipeline.runs.write_run", killed)
        run(evaluate, data, out=out)
    assert len(list((out / ".folds").glob("*.npz"))) == 3
    monkeypatch.setattr("emocore.pipeline.training.fit_arrays.fit_final", None)
    assert predictions(run(evaluate, data, out=out)).equals(whole)
    assert not (out / ".folds").exists()


@pytest.mark.parametrize(("given", "found"), [({}, True), ({"group_column": "statement"}, False)])
def test_a_run_says_whether_an_actor_stands_on_both_sides(given, found, acted, write_features, run, tmp_path):
    rows = [{**row, "statement": ["kids", "dogs"][i % 2]} for i, row in enumerate(acted([1, 2, 3]))]
    data = write_features(tmp_path / "F", rows)
    out = run(evaluate, data, protocol="grouped5", **given)
    assert read_json(out / "metrics.json")["speaker_independent"] is found
    assert ("Not speaker-independent" in (out / "report.html").read_text()) is not found


def test_as_is_refuses_options_that_would_change_nothing(four, bundle, run):
    for option in ({"class_weight": "none"}, {"group_column": "statement"}, {"level": "peak"}):
        with pytest.raises(UserError, match="leave"):
            run(evaluate, four, model=bundle, protocol="as-is", **option)


def test_the_same_seed_gives_the_same_predictions(acted, write_features, run, tmp_path):
    data = write_features(tmp_path / "F", acted([1, 2]))
    first, again, other = (run(evaluate, data, model="mlp", seed=seed) for seed in (3, 3, 4))
    assert (first / "predictions.parquet").read_bytes() == (again / "predictions.parquet").read_bytes()
    assert by_clip(first) != by_clip(other)


def test_a_forest_grows_by_its_seed_whatever_else_runs(four):
    examples = labelled(load_examples([str(four)], [ARTICLE], "speech"))
    folds, _ = make_folds("loso", examples.clips)
    forests = [Recipe("random-forest", seed, settings={"n_estimators": 20}) for seed in (3, 3, 4)]
    first, again, other = (
        np.concatenate([r.probabilities for r in run_folds(examples, folds, f, None)]) for f in forests
    )
    alone = run_folds(examples, folds[2:3], forests[0], None, threads=2)[0].probabilities
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[32:48], alone)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("model", ["svc", "mlp"])
def test_the_order_of_the_input_does_not_matter(model, acted, write_features, run, tmp_path):
    rows = acted([1, 2])
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    whole, other = write_features(tmp_path / "whole", rows), write_features(tmp_path / "other", mixed)
    half = [write_features(tmp_path / f"half{i}", part) for i, part in enumerate((mixed[:11], mixed[11:]))]
    answers = [by_clip(run(evaluate, *data, model=model)) for data in ([whole], [other], half, half[::-1])]
    assert answers[0] == answers[1] == answers[2] == answers[3]


def test_a_corpus_given_directly_is_featurized_on_the_way(corpus, features, run):
    direct, tables = run(evaluate, corpus), run(evaluate, features)
    assert visible(direct) == EVALUATED | {"features"}
    assert predictions(direct).equals(predictions(tables))


def test_identical_bytes_of_two_actors_stop_the_run(corpus, run, tmp_path):
    for n, actor in enumerate(("anna", "bert", "cleo"), start=1):
        for code, emotion in {"03": "happy", "04": "sad"}.items():
            name = f"03-01-{code}-01-01-01-{n:02d}.wav"
            (tmp_path / "corpus" / actor / emotion).mkdir(parents=True)
            shutil.copy(corpus / f"Actor_{n:02d}" / name, tmp_path / "corpus" / actor / emotion / "1.wav")
    shutil.copy(tmp_path / "corpus/anna/sad/1.wav", tmp_path / "corpus/bert/sad/2.wav")
    with pytest.raises(UserError) as caught:
        run(evaluate, tmp_path / "corpus", actor_from="^([^/]+)/", out=tmp_path / "RUN")
    sentence = str(caught.value)
    assert "hold identical bytes" in sentence and "anna/sad/1.wav" in sentence and "bert/sad/2.wav" in sentence
    assert not (tmp_path / "RUN" / "predictions.parquet").exists()


def test_one_take_on_both_sides_stops_the_run(acted, write_features, run, tmp_path):
    rows = acted([1, 2, 3], times=1)
    rows[0]["take"] = rows[-1]["take"] = "shared"
    with pytest.raises(UserError, match="are recordings of one take"):
        run(evaluate, write_features(tmp_path / "F", rows))


def test_as_is_scores_a_bundle_on_people_it_never_heard(bundle, newcomer, features_of, run, tmp_path):
    features_of(newcomer, tmp_path / "F")
    out = run(evaluate, tmp_path / "F", model=bundle, protocol="as-is")
    metrics = read_json(out / "metrics.json")
    assert visible(out) == EVALUATED
    assert (metrics["protocol"], metrics["model"], metrics["n"]) == ("as-is", "svc", 16)
    data = load_examples([str(tmp_path / "F")], [ARTICLE], "speech")
    expected = load_bundle(str(bundle)).probabilities(data.x)
    np.testing.assert_allclose(shares(predictions(out)), expected, atol=1e-6)
    assert predictions(out)["clip"].to_pylist() == data.clips["clip"].to_pylist()


def test_as_is_refuses_clips_that_the_bundle_was_trained_on(bundle, features, run):
    with pytest.raises(UserError, match=r"(identical bytes|one take).+leave one of them out"):
        run(evaluate, features, model=bundle, protocol="as-is")


def test_as_is_takes_a_newcomer_who_bears_the_name_of_a_training_actor(acted, write_features, run, tmp_path):
    trained = run(train, write_features(tmp_path / "F", acted([1, 2])), protocol="all")
    other = [dict(row, clip=f"other-{row['clip']}") for row in acted([1])]
    out = run(evaluate, write_features(tmp_path / "G", other), model=trained, protocol="as-is")
    assert read_json(out / "metrics.json")["n"] == 16


def test_as_is_answers_for_clips_without_a_label(acted, write_features, run, tmp_path):
    trained = run(train, write_features(tmp_path / "F", acted([1, 2])), protocol="all")
    rows = [dict(row, sounds=row["emotion"], emotion=None) for row in acted([3])]
    out = run(evaluate, write_features(tmp_path / "G", rows), model=trained, protocol="as-is")
    metrics = read_json(out / "metrics.json")
    assert (metrics["n"], metrics["n_unlabelled"], metrics["accuracy"], metrics["uar"]) == (0, 16, None, None)
    assert all(row["predicted"] in EMOTIONS for row in predictions(out).to_pylist())
    assert (out / "report.html").stat().st_size > 1_000


def test_as_is_needs_a_finished_model(four, run, tmp_path):
    with pytest.raises(UserError, match="give --model a RUN folder, not 'svc'"):
        run(evaluate, four, model="svc", protocol="as-is")
    with pytest.raises(UserError, match="holds no finished model"):
        run(evaluate, four, model=tmp_path / "nowhere", protocol="as-is")


@pytest.mark.parametrize("model", ["svc-linear", "random-forest", "xgboost", "mlp"])
def test_every_model_of_the_columns_learns_and_is_loaded_again(model, acted, write_features, run, tmp_path):
    trained = run(train, write_features(tmp_path / "F", acted([1, 2, 3]), signal=1.0), model=model, protocol="all")
    assert read_json(trained / "metrics.json")["accuracy"] > 0.5  # chance is 1 in 8
    unseen = write_features(tmp_path / "G", acted([4]), signal=1.0)
    assert read_json(run(evaluate, unseen, model=trained, protocol="as-is") / "metrics.json")["accuracy"] > 0.5


def test_a_class_unknown_to_the_model_has_no_share(acted, write_features, run, tmp_path):
    rows = acted([1, 2, 3], ("happy", "sad", "angry"))
    table = predictions(run(evaluate, write_features(tmp_path / "F", rows), model="svc"))
    known = {"p_happy", "p_sad", "p_angry"}
    assert all(max(table[name].to_pylist()) == 0 for name in PROBABILITIES if name not in known)
    assert set(table["predicted"].to_pylist()) <= {"happy", "sad", "angry"}


def test_an_emotion_that_only_one_actor_plays_is_missed_not_a_crash(acted, write_features, run, tmp_path):
    rows = [*acted([1, 2, 3], ("happy", "sad")), *acted([3], ("calm",))]
    out = run(evaluate, write_features(tmp_path / "F", rows, signal=0.6))
    metrics = read_json(out / "metrics.json")
    assert metrics["recall"]["calm"] == 0 and metrics["n"] == 14


def test_one_actor_can_be_trained_on_but_not_scored(acted, write_features, run, tmp_path):
    out = run(train, write_features(tmp_path / "F", acted([1])), protocol="all")
    assert read_json(out / "metrics.json")["n"] == 0 and len(by_clip(out)) == 0
    assert load_bundle(str(out)).card["n"] == 16


def test_raters_who_disagree_give_soft_labels(acted, write_features, run, tmp_path):
    rows = acted([1, 2, 3], ("happy", "sad"))
    divided = [
        dict(row, soft=0.75 * np.eye(8)[2 if row["emotion"] == "happy" else 3] + 0.25 * np.eye(8)[4]) for row in rows
    ]
    table = predictions(run(evaluate, write_features(tmp_path / "F", divided)))
    assert dict(zip(*table.select(["clip", "emotion"]).to_pydict().values(), strict=True)) == {
        row["clip"]: row["emotion"] for row in rows
    }
    assert min(table["p_angry"].to_pylist()) > 0  # a minority of the raters is heard
    certain = predictions(run(evaluate, write_features(tmp_path / "G", rows)))
    assert max(certain["p_angry"].to_pylist()) == 0


def test_several_raters_of_a_manifest_reach_the_tables(corpus, features_of, tmp_path):
    wav = next(iter(sorted(corpus.rglob("*.wav"))))
    (tmp_path / "m.csv").write_text("path,emotion\n" + "".join(f"{wav},{e}\n" for e in ("sad", "happy", "sad", "calm")))
    features_of(tmp_path / "m.csv", tmp_path / "F")
    row = pq.read_table(tmp_path / "F" / "clips").to_pylist()[0]
    assert row["emotion"] == "sad"
    soft = pq.read_table(tmp_path / "F" / "clips")["soft_label"].combine_chunks().to_numpy_ndarray()[0]
    assert dict(zip(EMOTIONS, soft.tolist(), strict=True)) == {
        **dict.fromkeys(EMOTIONS, 0),
        "sad": 0.5,
        "happy": 0.25,
        "calm": 0.25,
    }


def test_labels_that_cannot_be_learnt_from_are_refused(acted, write_features, run, tmp_path):
    with pytest.raises(UserError, match=r"training clips show only happy: at least two emotions are needed"):
        run(train, write_features(tmp_path / "one", acted([1, 2], ("happy",))), protocol="all")
    nothing = [dict(row, emotion=None) for row in acted([1, 2])]
    with pytest.raises(UserError, match=r"None of the 32 clips is labelled"):
        run(train, write_features(tmp_path / "none", nothing), protocol="all")


def test_a_run_can_stand_for_its_recipe(acted, write_features, run, tmp_path):
    data = write_features(tmp_path / "F", acted([1, 2]))
    trained = run(train, data, model="svc-linear", protocol="all")
    out = run(evaluate, data, model=trained, protocol="loso")
    assert read_json(out / "metrics.json")["model"] == "svc-linear"
    assert visible(out) == EVALUATED and by_clip(out) == by_clip(run(evaluate, data, model="svc-linear"))


def test_features_made_otherwise_do_not_fit_a_bundle(acted, write_features, run, tmp_path):
    trained = run(train, write_features(tmp_path / "F", acted([1, 2])), protocol="all")
    peak = write_features(tmp_path / "peak", acted([3]), family=ARTICLE.with_input(level="peak"))
    with pytest.raises(UserError, match=r"peak was featurized with level = peak, as-is is asked for"):
        run(evaluate, peak, model=trained, protocol="as-is")
    with pytest.raises(UserError, match="was featurized with level"):
        run(evaluate, tmp_path / "F", peak)


def test_a_bundle_carries_its_level_to_a_corpus(newcomer, acted, write_features, run, tmp_path):
    peak = write_features(tmp_path / "peak", acted([1, 2]), family=ARTICLE.with_input(level="peak"))
    trained = run(train, peak, protocol="all")
    out = run(evaluate, newcomer, model=trained, protocol="as-is")
    assert read_json(out / "features" / "manifest.json")["families"]["article"]["reads"]["level"] == "peak"


def test_tables_of_another_schema_version_are_refused(four, run, tmp_path):
    shutil.copytree(four, tmp_path / "manifest")
    shutil.copytree(four, tmp_path / "table")
    facts = json.loads((four / "manifest.json").read_text()) | {"schema_version": "0"}
    (tmp_path / "manifest" / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="has schema version 0, this release reads 2: make it anew by python jobs/f"):
        run(evaluate, tmp_path / "manifest")
    file = tmp_path / "table" / "features" / "article" / "000000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.replace_schema_metadata({b"emocore_schema_version": b"7"}), file)
    with pytest.raises(UserError, match=r"000000.parquet has schema version 7, this release reads 2"):
        run(evaluate, tmp_path / "table")


def test_a_clip_given_twice_is_refused(four, run, tmp_path):
    shutil.copytree(four, tmp_path / "copy")
    with pytest.raises(UserError, match="stands in two of the tables given: give it once"):
        run(evaluate, four, tmp_path / "copy")


def test_a_finished_run_is_left_alone_and_another_command_is_refused(four, run):
    out = run(evaluate, four)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    run(evaluate, four, out=out)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} | {out / ".lock": 0} == before | {out / ".lock": 0}
    with pytest.raises(UserError, match=r"options.seed = 0, this command has 1: choose another --out"):
        run(evaluate, four, out=out, seed=1)
    with pytest.raises(UserError, match=r"command = .evaluate., this command has .train."):
        run(train, four, out=out, protocol="all")


def test_features_made_anew_in_the_same_place_are_other_data(newcomer, features_of, run, tmp_path):
    features_of(newcomer, tmp_path / "F")
    out = run(train, tmp_path / "F", protocol="all", out=tmp_path / "RUN")
    shutil.rmtree(tmp_path / "F")
    features_of(newcomer, tmp_path / "F", families=[ARTICLE.with_input(level="peak")])
    with pytest.raises(UserError, match="choose another --out"):
        run(train, tmp_path / "F", protocol="all", out=out)


def test_a_mistake_does_not_claim_the_folder(four, run, tmp_path):
    with pytest.raises(UserError, match="none is present"):
        run(evaluate, four, protocol="article", out=tmp_path / "RUN")
    assert visible(run(evaluate, four, protocol="loso", out=tmp_path / "RUN")) == EVALUATED


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 2**32}, {"cpus_per_fit": 0}, {"cpus_per_fit": 1_000}])
def test_numbers_out_of_range_are_refused(options, four, run, monkeypatch):
    def never(*_, **__):
        raise AssertionError("waits for CPUs that no machine has")

    if options.get("cpus_per_fit", 0) > 1:
        monkeypatch.setattr(ray, "wait", never)
    name = next(iter(options)).replace("_", "-")
    with pytest.raises(UserError, match=rf"--{name}"):
        run(evaluate, four, model="random-forest", **options)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fit_has_as_many_native_threads_as_cpus(threads, cluster):
    @ray.remote(num_cpus=threads)
    def fit():
        seen = []

        class Spy(MLPClassifier):
            def fit(self, X, y, sample_weight=None):
                seen.extend(pool["num_threads"] for pool in threadpool_info())
                return super().fit(X, y, sample_weight)

        real = classical.ESTIMATORS["mlp"]
        classical.ESTIMATORS["mlp"] = (Spy, *real[1:])
        try:
            x, soft = np.random.default_rng(0).normal(size=(16, 160)).astype("f4"), np.eye(8, dtype="f4")[[0, 1] * 8]
            recipe = Recipe("mlp", settings={"max_iter": 2})
            exhaust(fit_inner(recipe, x, soft, np.arange(12), np.arange(12, 16), np.arange(12, 16), threads))
        finally:
            classical.ESTIMATORS["mlp"] = real
        return seen

    seen = ray.get(fit.remote())
    assert seen and set(seen) == {threads}


def test_a_forest_fitted_on_two_cpus_labels_on_one(tmp_path):
    x, soft = np.random.default_rng(0).normal(size=(16, 160)).astype("f4"), np.eye(8, dtype="f4")[[0, 1] * 8]
    forest = classical.SklearnClassifier("random-forest", threads=2, settings={"n_estimators": 2})
    forest.fit(x, soft, np.ones(8, np.float32))
    forest.save(tmp_path)
    loaded = classical.SklearnClassifier.load(tmp_path, "random-forest")  # in label's tasks of one CPU
    assert loaded.threads == 1 and loaded.pipeline[-1].n_jobs in (None, 1)


def test_the_convolution_over_frames_goes_the_whole_way(features, cluster):
    examples = labelled(load_examples([str(features)], [ARTICLE_FRAMES], "speech"))
    folds, _ = make_folds("loso", examples.clips)
    (result,) = run_folds(examples, folds[:1], Recipe("audio-conv1d", settings={"epochs": 2, "filters": 8}), None)
    assert result.probabilities.shape == (16, 8) and set(result.files) == CONV1D
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-6)
    assert 1 <= result.chosen["epochs"] <= 2
    assert result.rows.tolist() == np.flatnonzero(np.array(examples.clips["actor"].to_pylist()) == "01").tolist()


def test_the_convolution_needs_the_frames(four, run):
    with pytest.raises(
        UserError,
        match="holds article, and this model reads article-frames: featurize",
    ):
        run(evaluate, four, model="audio-conv1d")


def test_an_adapted_evaluation_stands_beside_what_the_model_gives_as_it_is(four, run):
    plain, *others = (
        read_json(run(evaluate, four, adapt=how) / "metrics.json") for how in ("none", "archive", "speaker")
    )
    assert "adapt" not in plain and "transductive" not in plain
    for how, metrics in zip(("archive", "speaker"), others, strict=True):
        assert (metrics["adapt"], metrics["transductive"]) == (how, True)
        assert {name: plain[name] for name in ("n", "accuracy", "uar")} == metrics["unadapted"]
        assert set(metrics["stepped_back"]) == {name for name, share in metrics["trust"].items() if not share}
    assert sorted(others[1]["trust"]) == sorted({actor for fold in plain["folds"] for actor in fold["test_actors"]})

"""What is trained, chosen and tested on which clips, by a model of frames: the network itself is a stand-in here."""

import dataclasses
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.datasets.protocols import Fold
from emocore.errors import UserError
from emocore.features.catalogue import to_json
from emocore.features.pictures import PICTURES
from emocore.labels import EMOTIONS
from emocore.models.bundle import save_bundle, training_clips
from emocore.models.catalogue import network_spec
from emocore.models.fitting import Recipe
from emocore.models.predictions import answer_frames
from emocore.pipeline.options.run import EvaluateOptions, TrainOptions
from emocore.pipeline.runs import evaluate, train
from emocore.pipeline.training import fit_frames as frame_folds
from emocore.pipeline.training.fit_frames import check_frame_folds
from emocore.pipeline.training.folds import FoldResult
from emocore.schema import CLIPS, FRAME_LABELS, SCHEMA_VERSION, pictures_schema, rows_to_table
from emocore.storage.files import read_json, write_json
from emocore.storage.tables import write_table

pytestmark = pytest.mark.usefixtures("cluster")
PIXELS = 16


@pytest.fixture
def seen(acted, tmp_path):
    """FEATURES of four actors, four emotions, two clips each, with two pictures a clip."""
    return write_seen(tmp_path / "F", acted(range(1, 5), EMOTIONS[:4]))


def write_seen(folder, rows):
    clips = [
        {"path": f"/data/{row['clip']}", "take": row["clip"], "content_id": row["clip"], "state": "ok"}
        | {"soft_label": np.array([name == row.get("emotion") for name in EMOTIONS], "f4"), **row}
        for row in rows
    ]
    pictures = [
        {"clip": row["clip"], "track": 0, "frame_index": 20 * i, "time_seconds": 0.8 * i, "state": "ok"}
        | {"image": np.zeros((PIXELS, PIXELS), np.uint8)}
        for row in rows
        for i in range(2)
    ]
    write_table(rows_to_table(clips, CLIPS), folder / "clips" / "000000.parquet")
    write_table(rows_to_table(pictures, pictures_schema(PIXELS)), folder / "frames" / "000000.parquet")
    families = to_json([PICTURES.with_input(pixels=PIXELS)])
    manifest = {"schema_version": SCHEMA_VERSION, "families": families, "synthetic": True}
    write_json(folder / "manifest.json", manifest | {"fingerprint": folder.name})
    return folder


class StandIn:
    """Takes the place of a training: says which rows it was given, and answers evenly. Stops where told to."""

    def __init__(self, stop=None):
        self.folds, self.plans, self.stop = [], [], stop

    def __call__(self, examples, fold, plan, _):
        if fold.name == self.stop:
            raise KeyboardInterrupt
        self.folds.append(fold)
        self.plans.append(plan)
        rows = fold.test if len(fold.test) else fold.validation
        clips = examples.clips["clip"].take(pa.array(rows)).to_pylist()
        heads = [
            {"clip": clip, "track": 0, "frame_index": 20 * i, "time_seconds": 0.0} for clip in clips for i in range(2)
        ]
        frames = answer_frames(rows_to_table(heads, FRAME_LABELS), np.full((len(heads), 8), 0.125))
        shares = np.full((len(rows), 8), 0.125)
        history = [{"epoch": 1, "loss": 2.0}]
        return FoldResult(fold.name, rows, shares, 1.0, {"epoch": 1}, {"m": b"x"}, True, frames, history)


@pytest.fixture
def stand_in(monkeypatch):
    def put(**options):
        one = StandIn(**options)
        monkeypatch.setattr(frame_folds, "_run_fold", one)
        return one

    return put


def score(out, data, **options):
    return evaluate(EvaluateOptions(**{"data": (str(data),), "out": str(out), "model": "cnn", **options})).metrics


def actors_of(data, rows):
    clips = pq.read_table(data / "clips").sort_by("clip")
    return {clips["actor"][int(row)].as_py() for row in rows}


def test_actors_that_choose_neither_train_nor_test(seen, stand_in, tmp_path):
    told = stand_in()
    metrics = score(tmp_path / "R", seen, protocol="loso")
    assert [fold.name for fold in told.folds] == ["01", "02", "03", "04"]
    for fold in told.folds:
        sides = [actors_of(seen, rows) for rows in (fold.train, fold.validation, fold.test)]
        assert [len(side) for side in sides] == [2, 1, 1] and len(set.union(*sides)) == 4
    assert (metrics["n"], metrics["n_frames"], metrics["estimate"]) == (32, 64, "test")
    assert metrics["frame_accuracy"] == pytest.approx(0.25)  # all say the first emotion
    assert list(read_json(tmp_path / "R" / "history.json")) == ["01", "02", "03", "04"]


def test_an_evaluation_goes_on_behind_the_folds_that_are_finished(seen, stand_in, tmp_path):
    stand_in(stop="03")
    with pytest.raises(KeyboardInterrupt):
        score(tmp_path / "R", seen, protocol="loso")
    again = stand_in()
    metrics = score(tmp_path / "R", seen, protocol="loso")
    assert [fold.name for fold in again.folds] == ["03", "04"]
    stand_in()
    whole = score(tmp_path / "S", seen, protocol="loso")
    assert {**metrics, "seconds": 0} == {**whole, "seconds": 0}
    for part in ("predictions.parquet", "frames"):
        assert pq.read_table(tmp_path / "R" / part).equals(pq.read_table(tmp_path / "S" / part))


def test_a_refusal_on_the_way_keeps_what_is_finished_and_its_settings(seen, stand_in, tmp_path, monkeypatch):
    def fail(examples, fold, plan, work):
        (work / "run").mkdir(parents=True)
        raise UserError("The loss became NaN.")

    monkeypatch.setattr(frame_folds, "_run_fold", fail)
    with pytest.raises(UserError, match="NaN"):
        score(tmp_path / "R", seen, protocol="loso")
    assert (tmp_path / "R" / ".training" / "01" / "run").is_dir()
    with pytest.raises(UserError, match=r"learning_rate = null, this command has 0\.1"):
        score(tmp_path / "R", seen, protocol="loso", learning_rate=0.1)
    stand_in()
    assert score(tmp_path / "R", seen, protocol="loso")["n"] == 32
    assert not (tmp_path / "R" / ".training").exists()


def test_without_test_clips_the_estimate_is_that_of_the_validation_actors(seen, stand_in, tmp_path):
    told = stand_in()
    metrics = train(TrainOptions(data=(str(seen),), out=str(tmp_path / "R"), model="cnn")).metrics
    (fold,) = told.folds
    assert len(fold.test) == 0 and len(actors_of(seen, fold.validation)) == 1
    assert (metrics["estimate"], metrics["n"], metrics["protocol"]) == ("validation", 8, "all")
    known = pq.read_table(tmp_path / "R" / "model" / "training.parquet")
    assert known.num_rows == 32  # those that chose count as known


def test_what_is_given_reaches_the_network_and_the_rest_is_the_runs(seen, stand_in, tmp_path):
    told = stand_in()
    first = {"epochs": 7, "batch_size": 4, "combine": "vote", "output": "sigmoid", "class_weight": "none"}
    train(TrainOptions(data=(str(seen),), out=str(tmp_path / "R"), model="cnn", **first))
    score(tmp_path / "S", seen, model=str(tmp_path / "R"), protocol="loso", epochs=9)
    score(tmp_path / "T", seen, protocol="loso", class_weight="balanced", workers=2, steps_per_epoch="auto")
    one, two, three = (told.plans[i] for i in (0, 1, 5))
    assert (one.settings.epochs, one.settings.batch_size, one.settings.output, one.combine) == (7, 4, "sigmoid", "vote")
    assert one.settings.pixels == PIXELS and not one.recipe.balanced
    assert (two.settings.epochs, two.settings.batch_size, two.combine) == (9, 4, "vote") and not two.recipe.balanced
    assert (three.settings.workers, three.settings.steps_per_epoch, three.combine) == (2, None, "mean-log")
    assert three.recipe.balanced and three.settings.epochs == 50


@pytest.fixture
def fer(tmp_path):
    """Images named by emotion below Training and PublicTest, with copies within and across."""
    root = tmp_path / "FER"
    for side, seed, times in (("Training", 0, 10), ("PublicTest", 1, 2)):
        for i, emotion in enumerate(("happy", "Sad", "anger")):
            (root / side / emotion).mkdir(parents=True)
            for n in range(times):
                image = np.random.default_rng([seed, i, n]).integers(0, 256, (PIXELS, PIXELS), "u1")
                cv2.imwrite(str(root / side / emotion / f"{n}.png"), image)
    for n in range(2):
        shutil.copy(root / "PublicTest" / "happy" / f"{n}.png", root / "Training" / "happy" / f"copy{n}.png")
    for n in range(4):
        shutil.copy(root / "Training" / "Sad" / f"{n}.png", root / "Training" / "Sad" / f"again{n}.png")
    return root


def test_faces_are_trained_and_tested_as_the_corpus_says_without_what_the_test_holds(fer, stand_in, tmp_path):
    told = stand_in()
    metrics = train(TrainOptions(data=(str(fer),), out=str(tmp_path / "R"), model="face-cnn")).metrics
    (fold,), (plan,) = told.folds, told.plans
    assert metrics["protocol"] == "given" and metrics["left_out"]["also_in_test"] == 2
    assert metrics["families"]["pictures"]["reads"]["pixels"] == 48 and not plan.recipe.balanced
    assert (len(fold.train) + len(fold.validation), len(fold.validation), len(fold.test)) == (34, 3, 6)
    clips = pq.read_table(tmp_path / "R" / "features" / "clips").sort_by("clip")
    contents = [
        {clips["content_id"][int(r)].as_py() for r in rows} for rows in (fold.train, fold.validation, fold.test)
    ]
    assert not (contents[0] & contents[1] or contents[0] & contents[2] or contents[1] & contents[2])


def test_where_the_corpus_says_nothing_faces_are_trained_on_all(seen, stand_in, tmp_path):
    stand_in()
    told = TrainOptions(data=(str(seen),), out=str(tmp_path / "R"), model="face-cnn")
    with pytest.raises(UserError, match="face-cnn does not know 'calm', which clips to train on show"):
        train(told)
    # A refused run does not claim its folder.
    rows = [row for row in pq.read_table(seen / "clips").to_pylist() if row["emotion"] != "calm"]
    known = write_seen(
        tmp_path / "G", [{key: row[key] for key in ("clip", "actor", "gender", "emotion")} for row in rows]
    )
    metrics = train(TrainOptions(data=(str(known),), out=str(tmp_path / "R"), model="face-cnn")).metrics
    assert (metrics["protocol"], metrics["estimate"]) == ("all", "validation")


def test_an_emotion_that_training_lacks_is_one_sentence():
    emotions = ["happy", "sad", "happy", "sad", "happy", "angry"]
    rows = [
        {"clip": str(i), "take": str(i), "path": str(i), "actor": str(i), "emotion": e} for i, e in enumerate(emotions)
    ]
    soft = np.eye(8, dtype="f4")[[EMOTIONS.index(emotion) for emotion in emotions]]
    fold = Fold("7", np.array([0, 1]), np.array([2, 3]), np.array([4, 5]))
    with pytest.raises(UserError) as error:
        check_frame_folds(rows_to_table(rows, CLIPS), soft, [fold], "cnn", None)
    assert str(error.value) == (
        "Fold '7' asks for 'angry', which none of its training clips shows: give clips of it by more actors, or choose "
        "another --protocol."
    )
    check_frame_folds(
        rows_to_table(rows, CLIPS), soft, [Fold("7", fold.train, fold.validation, fold.test[:1])], "cnn", None
    )


def test_the_base_of_transfer_is_a_face_cnn(seen, stand_in, tmp_path):
    stand_in()
    train(TrainOptions(data=(str(seen),), out=str(tmp_path / "cnn"), model="cnn"))
    told = {"data": (str(seen),), "out": str(tmp_path / "R"), "model": "transfer"}
    with pytest.raises(UserError, match="is a RUN of cnn: transfer begins from one of face-cnn"):
        train(TrainOptions(**told, base=str(tmp_path / "cnn")))
    with pytest.raises(UserError, match="nowhere holds no finished model"):
        train(TrainOptions(**told, base="nowhere"))
    facts = {"temperature": 1.0, "combine": "vote", "families": to_json([PICTURES.with_input(pixels=48)])}
    facts["settings"] = dataclasses.asdict(network_spec("face-cnn").settings)
    save_bundle(tmp_path / "B" / "model", {"model.keras": b"1"}, Recipe("face-cnn"), CLIPS.empty_table(), facts)
    plans = stand_in().plans
    train(TrainOptions(**told, base=str(tmp_path / "B")))
    assert plans[0].settings.base == str(tmp_path / "B" / "model" / "model.keras")
    again = {"data": (str(seen),), "model": str(tmp_path / "R"), "protocol": "loso"}
    evaluate(EvaluateOptions(**again, out=str(tmp_path / "E")))
    assert plans[-1].settings.base == plans[0].settings.base  # the RUN's, not the one that is shipped
    (tmp_path / "B" / "model" / "model.keras").write_bytes(b"2")
    with pytest.raises(UserError, match="was made with base_hash"):
        train(TrainOptions(**told, base=str(tmp_path / "B")))
    with pytest.raises(UserError, match="B/model is not the face-cnn any more that the model began from: give its"):
        evaluate(EvaluateOptions(**again, out=str(tmp_path / "E2")))


def test_what_the_base_was_trained_on_neither_chooses_nor_tests(seen, stand_in, tmp_path):
    stand_in()
    facts = {"temperature": 1.0, "combine": "vote", "families": to_json([PICTURES.with_input(pixels=48)])}
    facts["settings"] = dataclasses.asdict(network_spec("face-cnn").settings)
    clips = pq.read_table(seen / "clips").sort_by("clip")
    save_bundle(tmp_path / "B" / "model", {}, Recipe("face-cnn"), clips.slice(0, 1), facts)
    told = {"data": (str(seen),), "out": str(tmp_path / "R"), "model": "transfer", "base": str(tmp_path / "B")}
    with pytest.raises(UserError, match=r"Fold '01 of transfer, whose base is .*B/model,' trains on .* and tests on"):
        evaluate(EvaluateOptions(**told, protocol="loso"))
    other = write_seen(tmp_path / "G", [{"clip": "x", "actor": "9", "gender": "male", "emotion": "sad"}])
    save_bundle(tmp_path / "C" / "model", {}, Recipe("face-cnn"), pq.read_table(other / "clips"), facts)
    train(TrainOptions(**{**told, "base": str(tmp_path / "C")}))
    known = pq.read_table(training_clips(tmp_path / "R" / "model"))["clip"].to_pylist()
    assert "x" in known and len(known) == 33  # what the base knows, the model does


def test_fine_tuning_looks_at_faces(seen, stand_in, tmp_path):
    stand_in()
    told = {"data": (str(seen),), "out": str(tmp_path / "R"), "model": "transfer", "recipe": "fine-tune"}
    with pytest.raises(UserError, match="holds whole pictures, and --recipe fine-tune looks at faces: featurize with"):
        train(TrainOptions(**told))


@pytest.mark.parametrize(
    ("name", "value", "option"), [("cpus_per_fit", 2, "--cpus-per-fit 2"), ("level", "peak", "--level peak")]
)
def test_what_hears_is_not_told_how_to_see(seen, tmp_path, name, value, option):
    with pytest.raises(UserError, match=f"{option} changes nothing for cnn, which sees: leave it out"):
        train(TrainOptions(data=(str(seen),), out=str(tmp_path / "R"), model="cnn", **{name: value}))

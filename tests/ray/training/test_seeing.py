"""Models of frames on a running Ray: films and stills in, answers for frames and clips out."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.corpora.listing import list_corpora
from emocore.corpora.synthetic.corpus import DemoSettings, plan, write_clip, write_notice
from emocore.datasets.frames import frame_files, frames_of, images_of, load_frame_examples, read_frames
from emocore.errors import UserError
from emocore.features.article import ARTICLE
from emocore.features.catalogue import to_json
from emocore.features.pictures import PICTURES
from emocore.labels import EMOTIONS
from emocore.models.aggregation import tempered
from emocore.models.bundle import save_bundle
from emocore.models.fitting import Recipe
from emocore.models.network_settings import NetworkSettings
from emocore.models.predictions import answer_clips, shares_of
from emocore.pipeline.archive import plan as planning
from emocore.pipeline.featurize import featurize
from emocore.pipeline.label import LabelOptions, label
from emocore.pipeline.options.run import EvaluateOptions, TrainOptions
from emocore.pipeline.runs import evaluate, train
from emocore.schema import CLIPS, FRAME_LABELS, FRAME_PREDICTIONS, LABELS, PREDICTIONS, PROBABILITIES, rows_to_table
from emocore.storage.files import read_json

pytestmark = pytest.mark.usefixtures("cluster")
PIXELS = 32
SHOWN = ("happy", "sad", "angry")
ACTORS = (21, 22, 23, 24)
QUICK = {"epochs": 2, "steps_per_epoch": "auto", "batch_size": 8}


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """Twelve films with sound: four actors, three emotions. Read only."""
    root = tmp_path_factory.mktemp("films")
    for clip in plan(DemoSettings(actors=max(ACTORS), frame_size_pixels=96)):
        wanted = (clip.actor in ACTORS, clip.emotion in SHOWN, clip.intensity == "normal", clip.statement == "kids")
        if all(wanted):
            write_clip(clip, root)
    for wav in root.rglob("*.wav"):
        wav.unlink()
    write_notice(root)
    return root


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Labelled stills in folders by emotion: 12, of which 3 are copies. Read only."""
    root = tmp_path_factory.mktemp("faces")
    for i, emotion in enumerate(SHOWN):
        (root / emotion).mkdir()
        for n in range(3):
            cv2.imwrite(
                str(root / emotion / f"{n}.png"), np.random.default_rng([i, n]).integers(0, 256, (40, 40), "u1")
            )
        shutil.copy(root / emotion / "0.png", root / emotion / "copy.png")
    return root


def pictures_of(root, out, every=20):
    listing = list_corpora([str(root)], stills=True)
    families = [ARTICLE, PICTURES.with_input(every=every, pixels=PIXELS)]
    featurize(listing, str(out), families, options={})
    return out


@pytest.fixture(scope="session")
def features(films, cluster, tmp_path_factory):
    """FEATURES of `films` with every 20th picture. Read only."""
    return pictures_of(films, tmp_path_factory.mktemp("features") / "F")


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """The RUN of a cnn whose weights are what chance made them: its answers are arbitrary, and always the same."""
    from emocore.models.catalogue import build_network  # noqa: PLC0415 - as below
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - TensorFlow

    import keras  # noqa: PLC0415 # isort: skip

    keras.utils.set_random_seed(3)
    settings = NetworkSettings(pixels=PIXELS, filters=(4, 4), dense=8)
    known = np.isin(EMOTIONS, ["calm"], invert=True)
    root = tmp_path_factory.mktemp("untrained")
    (root / "files").mkdir()
    FrameNetwork("cnn", settings, build_network("cnn", settings), known).save(root / "files")
    files = {path.name: path.read_bytes() for path in (root / "files").iterdir()}
    facts = {
        "settings": dataclasses.asdict(settings),
        **{"temperature": 0.7, "combine": "mean-log", "families": to_json([PICTURES.with_input(pixels=PIXELS)])},
    }
    training = rows_to_table([{"clip": "seen", "take": "seen", "path": "/seen", "content_id": "-"}], CLIPS)
    save_bundle(root / "model", files, Recipe("cnn"), training, facts)
    return root


def read(folder, part):
    return pa.concat_tables([pq.read_table(path) for path in sorted((folder / part).glob("*.parquet"))])


def label_to(out, *media, model, **options):
    return label(LabelOptions(media=tuple(map(str, media)), model=str(model), out=str(out), **options))


def score(out, *data, model, protocol="as-is", **options):
    told = EvaluateOptions(data=tuple(map(str, data)), out=str(out), model=str(model), protocol=protocol, **options)
    return evaluate(told)


@pytest.mark.parametrize("broken", ["model.keras", "known.npy"])
def test_a_network_that_cannot_be_read_is_one_sentence(untrained, films, features, tmp_path, broken):
    shutil.copytree(untrained, tmp_path / "R")
    (tmp_path / "R" / "model" / broken).write_bytes(b"PK nothing")
    for act in (
        lambda: label_to(tmp_path / "L", films, model=tmp_path / "R"),
        lambda: score(tmp_path / "S", features, model=tmp_path / "R"),
    ):
        with pytest.raises(
            UserError, match=r"(is not a whole model|holds no bool \(8,\) \(.+\)): train (it|the model) again"
        ):
            act()


def expected(untrained, features, how="mean-log"):
    """Clip → its probabilities, computed here from the pictures in the tables."""
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - TensorFlow

    network = FrameNetwork.load(untrained / "model", "cnn")
    examples = load_frame_examples([str(features)], "speech", PICTURES.with_input(pixels=PIXELS))
    clips = examples.clips["clip"].to_pylist()
    frames = pa.concat_tables(
        [part for path in frame_files(frames_of(examples).folders) for part in read_frames(path, clips)]
    )
    shares = network.probabilities(images_of(frames)).astype("f4")
    table = pa.table({"clip": frames["clip"], **{name: shares[:, i] for i, name in enumerate(PROBABILITIES)}})
    return dict(zip(clips, tempered(answer_clips(table, clips, how), 0.7), strict=True))


def test_as_is_every_clip_is_answered_from_all_its_frames(untrained, features, tmp_path):
    summary = score(tmp_path / "R", features, model=untrained)
    table = pq.read_table(tmp_path / "R" / "predictions.parquet")
    frames = read(tmp_path / "R", "frames")
    assert table.schema.remove_metadata() == PREDICTIONS and frames.schema.remove_metadata() == FRAME_PREDICTIONS
    wanted = expected(untrained, features)
    assert table["clip"].to_pylist() == sorted(wanted)
    np.testing.assert_allclose(shares_of(table), [wanted[clip] for clip in table["clip"].to_pylist()], atol=1e-6)
    assert not shares_of(table)[:, EMOTIONS.index("calm")].any()  # what the network does not know
    per_clip = frames.group_by("clip").aggregate([("frame_index", "list")]).to_pylist()
    assert len(per_clip) == 12 and all(
        row["frame_index_list"] == [0, 20, 40, 60, 80][: len(row["frame_index_list"])] for row in per_clip
    )

    truth = dict(zip(table["clip"].to_pylist(), table["emotion"].to_pylist(), strict=True))
    right = [row["predicted"] == truth[row["clip"]] for row in frames.select(["clip", "predicted"]).to_pylist()]
    metrics = summary.metrics
    assert (metrics["n_frames"], metrics["frame_accuracy"]) == (len(right), pytest.approx(np.mean(right)))
    assert (
        metrics["families"]["pictures"]["reads"] == {"every": 20, "pixels": PIXELS, "faces": False}
        and metrics["n"] == 12
    )
    assert "Single frames:" in (tmp_path / "R" / "report.html").read_text()
    assert score(tmp_path / "R", features, model=untrained).already_finished


def test_another_way_to_combine_changes_clips_not_frames(untrained, features, tmp_path):
    score(tmp_path / "A", features, model=untrained)
    score(tmp_path / "B", features, model=untrained, combine="vote")
    assert read(tmp_path / "A", "frames").equals(read(tmp_path / "B", "frames"))
    table = pq.read_table(tmp_path / "B" / "predictions.parquet")
    wanted = expected(untrained, features, "vote")
    np.testing.assert_allclose(shares_of(table), [wanted[clip] for clip in table["clip"].to_pylist()], atol=1e-6)


def test_stills_in_folders_by_emotion_are_scored_on_all_and_on_distinct_images(untrained, faces, tmp_path):
    metrics = score(tmp_path / "R", faces, model=untrained).metrics
    assert (metrics["n"], metrics["distinct"]["n"], metrics["n_frames"]) == (12, 9, 12)
    table = pq.read_table(tmp_path / "R" / "predictions.parquet")
    right = np.array(table["predicted"].to_pylist()) == np.array(table["emotion"].to_pylist())
    once = ["copy" not in clip for clip in table["clip"].to_pylist()]
    assert metrics["accuracy"] == pytest.approx(right.mean())
    assert metrics["distinct"]["accuracy"] == pytest.approx(right[once].mean())


def test_images_that_the_model_was_trained_on_are_not_scored(untrained, faces, tmp_path):
    pictures_of(faces, tmp_path / "F")
    clips = pq.read_table(tmp_path / "F" / "clips")
    model = shutil.copytree(untrained, tmp_path / "M")
    seen = clips.filter(pa.compute.match_substring(clips["clip"], "happy/0"))
    pq.write_table(seen.select(["clip", "take", "path", "actor", "content_id"]), model / "model" / "training.parquet")
    metrics = score(tmp_path / "R", tmp_path / "F", model=model).metrics
    assert metrics["n"] == 10 and metrics["left_out"]["also_in_training"] == 2  # the image and its copy
    pq.write_table(clips.select(["clip", "take", "path", "actor", "content_id"]), model / "model" / "training.parquet")
    with pytest.raises(UserError, match="trained on all of the 12 clips given"):
        score(tmp_path / "S", tmp_path / "F", model=model)


def test_labels_of_films_stills_and_the_rest(untrained, films, faces, features, tone, write_wav, tmp_path):
    archive = tmp_path / "archive"
    shutil.copytree(films, archive / "films")
    shutil.copytree(faces / "happy", archive / "stills")
    write_wav(archive / "voice.wav", tone(300))
    (archive / "broken.mp4").write_text("no film\\n")
    done = label_to(tmp_path / "L", archive, model=untrained)
    labels, frames = read(tmp_path / "L", "labels"), read(tmp_path / "L", "frames")
    assert labels.schema.remove_metadata() == LABELS and frames.schema.remove_metadata() == FRAME_LABELS
    assert (done.summary["labels"], done.summary["failures"], done.summary["frames"]) == (17, 1, frames.num_rows)
    assert done.summary["states"] == {"ok": 16, "no_video": 1}
    silent = labels.filter(pa.compute.equal(labels["state"], "no_video"))
    assert silent["clip"].to_pylist() == ["voice.wav"] and silent["predicted"].to_pylist() == [None]
    # The same films in feature tables, answered by evaluate's path.
    wanted = expected(untrained, features)
    found = {
        row["clip"].rpartition("/")[2].removesuffix(".mp4"): row for row in labels.to_pylist() if ".mp4" in row["clip"]
    }
    assert found.keys() == wanted.keys()
    for clip, row in found.items():
        np.testing.assert_allclose([row[name] for name in PROBABILITIES], wanted[clip], atol=1e-6)
        assert row["predicted"] == EMOTIONS[wanted[clip].argmax()]
    assert label_to(tmp_path / "L", archive, model=untrained).already_finished


def test_labels_do_not_depend_on_the_shard(untrained, faces, tmp_path, monkeypatch):
    label_to(tmp_path / "one", faces, model=untrained)
    monkeypatch.setattr(planning, "SHARD_FILES", 0.25)
    label_to(tmp_path / "many", faces, model=untrained)
    assert len(list((tmp_path / "many" / "frames").iterdir())) > 2
    for part, key in (("labels", [("path", "ascending")]), ("frames", [("clip", "ascending")])):
        assert read(tmp_path / "one", part).sort_by(key).equals(read(tmp_path / "many", part).sort_by(key))


def test_answering_apart_from_reading_is_the_same(untrained, faces, tmp_path):
    label_to(tmp_path / "one", faces, model=untrained)
    label_to(tmp_path / "apart", faces, model=untrained, gpus_per_worker=0)
    for part in ("labels", "frames"):
        one, apart = (pq.read_table(tmp_path / out / part / "000000.parquet") for out in ("one", "apart"))
        assert one.equals(apart) and one.num_rows


def test_pictures_without_a_face_are_no_answer(untrained, faces, tmp_path):
    done = label_to(tmp_path / "L", faces, model=untrained, faces=True)  # noise is no face
    assert done.summary["states"] == {"no_face": 12} and done.summary["frames"] == 0
    assert set(read(tmp_path / "L", "labels")["predicted"].to_pylist()) == {None}


def test_nothing_to_see_is_one_sentence(untrained, corpus, tmp_path):
    with pytest.raises(UserError, match="holds no pictures, which this model reads: featurize with --frames"):
        listing = list_corpora([str(corpus)])
        featurize(listing, str(tmp_path / "F"), [ARTICLE], options={})
        score(tmp_path / "R", tmp_path / "F", model=untrained)


@pytest.mark.parametrize(
    ("model", "protocol", "options", "sentence"),
    [
        ("svc", "loso", {"epochs": 3}, "--epochs 3 is read by cnn, transfer, face-cnn, not by svc: leave it out."),
        (
            "RUN",
            "as-is",
            {"epochs": 3},
            "--epochs 3 changes nothing where nothing is trained: leave it out with 'as-is'.",
        ),
        ("RUN", "as-is", {"recipe": "article"}, "--recipe article is read by transfer, not by cnn: leave it out."),
        ("cnn", "as-is", {}, "Protocol 'as-is' tests a finished model: give --model a RUN folder, not 'cnn'."),
    ],
)
def test_options_that_mean_nothing_are_refused(model, protocol, options, sentence, untrained, features, tmp_path):
    with pytest.raises(UserError) as error:
        score(tmp_path / "R", features, model=untrained if model == "RUN" else model, protocol=protocol, **options)
    assert str(error.value) == sentence and not (tmp_path / "R").exists()


def test_a_model_of_sound_refuses_what_only_seeing_ones_read(bundle, faces, tmp_path):
    with pytest.raises(UserError, match="--every 5 is read by cnn, transfer, face-cnn, not by svc"):
        label_to(tmp_path / "L", faces, model=bundle, every=5)


def test_a_protocol_that_leaves_nothing_to_train_on_stops_at_once(features, tmp_path):
    told = {"data": (str(features),), "model": "cnn", "protocol": "given", **QUICK}
    with pytest.raises(UserError, match="found no 'train' clip"):
        evaluate(EvaluateOptions(out=str(tmp_path / "R"), **told))


@pytest.fixture(scope="session")
def trained(films, cluster, tmp_path_factory, training_in_process):
    """A cnn trained on films that are featurized on the way, and its summary. Read only."""
    out = tmp_path_factory.mktemp("trained") / "RUN"
    with training_in_process():
        return out, train(TrainOptions(data=(str(films),), out=str(out), model="cnn", pixels=PIXELS, **QUICK))


def test_a_trained_run(trained, films, tmp_path):
    out, summary = trained
    metrics = summary.metrics
    assert (metrics["protocol"], metrics["estimate"], metrics["n_actors"]) == ("all", "validation", 1)
    assert metrics["n"] == 3 and metrics["speaker_independent"] is True and metrics["synthetic"] is True
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {
        *("config.json", "metrics.json", "predictions.parquet", "report.html", "history.json"),
        *("features", "frames", "model", "tensorboard"),
    }
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == [
        ".lock"
    ]  # nothing is left of the work
    history = read_json(out / "history.json")["all"]
    assert [row["epoch"] for row in history] == [1, 2] and all(np.isfinite(row["loss"]) for row in history)
    assert metrics["chosen"]["all"]["epoch"] in (1, 2)
    card = json.loads((out / "model" / "bundle.json").read_text())
    assert (
        card["families"]["pictures"]["reads"] == {"every": 20, "pixels": PIXELS, "faces": False}
        and card["combine"] == "mean-log"
    )
    assert card["settings"]["pixels"] == PIXELS and card["settings"]["epochs"] == 2
    assert train(TrainOptions(data=(str(films),), out=str(out), model="cnn", pixels=PIXELS, **QUICK)).already_finished
    report = (out / "report.html").read_text()
    assert "How it was trained" in report and "scored on those" in report


def test_a_trained_run_labels_and_is_never_scored_on_what_it_knows(trained, films, faces, tmp_path):
    out, _ = trained
    label_to(tmp_path / "L", faces, model=out)
    assert set(read(tmp_path / "L", "labels")["state"].to_pylist()) == {"ok"}
    with pytest.raises(UserError, match="identical bytes"):
        score(tmp_path / "R", films, model=out)


@pytest.mark.usefixtures("trains_here")
def test_an_evaluation_by_unseen_actors(features, tmp_path):
    told = {"data": (str(features),), "out": str(tmp_path / "R"), "model": "cnn", "protocol": "article-video"}
    metrics = evaluate(EvaluateOptions(**told, **QUICK)).metrics
    assert (metrics["n"], metrics["estimate"], metrics["speaker_independent"]) == (6, "test", True)
    assert metrics["folds"][0]["test_actors"] == ["23", "24"]
    assert metrics["n_frames"] == read(tmp_path / "R", "frames").num_rows
    assert set(read(tmp_path / "R", "frames")["fold"].to_pylist()) == {"1"}
    assert not (tmp_path / "R" / "model").exists() and not (tmp_path / "R" / ".folds").exists()
    assert list(read_json(tmp_path / "R" / "history.json")) == ["1"]
    assert evaluate(EvaluateOptions(**told, **QUICK)).already_finished
    with pytest.raises(UserError, match="epochs = 2, this command has 3"):
        evaluate(EvaluateOptions(**told, **{**QUICK, "epochs": 3}))

"""Feature tables become arrays: joined by clip, of one definition, without what cannot be heard."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from emocore.datasets.examples import in_emotions, is_features, labelled, load_examples, read_manifest
from emocore.errors import UserError
from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.pictures import PICTURES
from emocore.labels import EMOTIONS
from emocore.schema import CLIPS as CLIPS_SCHEMA
from emocore.schema import of_emotions, rows_to_table
from emocore.storage.tables import read_tables, write_table
from emocore.timeline import WindowGrid

LOUD = ARTICLE.with_input(level="peak")
CLIPS = ["a.wav", "b.wav", "c.wav", "d.wav"]


def columns_of(clips):
    """Every clip's columns say which clip it is."""
    return {clip: np.arange(160, dtype="f4") + 1_000 * i for i, clip in enumerate(clips)}


def frames_of(clips):
    return {clip: np.full((157, 39), i, "f4") for i, clip in enumerate(clips)}


@pytest.fixture
def folder(tmp_path, make_clip, make_features):
    rows = [make_clip(clip, emotion) for clip, emotion in zip(CLIPS, EMOTIONS, strict=False)]
    return make_features(tmp_path / "f", rows, columns_of(CLIPS), frames_of(CLIPS))


def refused(*folders, family=ARTICLE):
    with pytest.raises(UserError) as error:
        load_examples(folders, [family], "speech")
    assert "\n" not in str(error.value)
    return str(error.value)


def load(*folders, family=ARTICLE, channel="speech"):
    return load_examples(folders, [family], channel)


def test_rows_belong_together_by_clip_not_by_position(folder):
    examples = load(folder)  # conftest writes audio/ and mfcc/ last clip first
    assert examples.clips["clip"].to_pylist() == CLIPS
    assert (examples.x.dtype, examples.x.shape) == (np.float32, (4, 160))
    np.testing.assert_array_equal(examples.x, np.stack(list(columns_of(CLIPS).values())))
    np.testing.assert_array_equal(examples.soft, np.eye(8)[:4])
    frames = load(folder, family=ARTICLE_FRAMES).x
    assert frames.shape == (4, 157, 39)
    np.testing.assert_array_equal(frames[:, 0, 0], [0, 1, 2, 3])


def test_several_folders_are_one_set_whatever_their_order(tmp_path, folder, make_clip, make_features):
    more = make_features(tmp_path / "g", [make_clip("z.wav", "angry")], {"z.wav": np.full(160, 7, "f4")})
    for folders in ((folder, more), (more, folder)):
        examples = load(*folders)
        assert examples.clips["clip"].to_pylist() == [*CLIPS, "z.wav"]
        assert examples.x[:, 0].tolist() == [0, 1_000, 2_000, 3_000, 7]
        assert examples.truth.tolist() == [0, 1, 2, 3, 4]


def test_what_cannot_be_heard_is_left_out(tmp_path, make_clip, make_features):
    states = {"a.wav": "silent", "b.wav": "ok", "c.mp4": "no_audio", "d.wav": "too_short"}
    rows = [make_clip(clip, state=state) for clip, state in states.items()]
    columns = {clip: np.full(160, i, "f4") for i, clip in enumerate(["a.wav", "b.wav", "d.wav"])}
    examples = load(make_features(tmp_path / "f", rows, columns))
    assert examples.clips["clip"].to_pylist() == ["b.wav"]
    assert examples.left_out == {"failed": 0, "silent": 1, "too_short": 1, "no_audio": 1, "not_selected": 0}
    assert examples.x[:, 0].tolist() == [1]
    silent = make_features(tmp_path / "g", rows[:1], columns)
    assert refused(silent) == f"{silent}: none of the 1 clip has sound in it: give other files."


def test_of_a_take_the_audio_only_file_is_read(tmp_path, make_clip, make_features):
    files = {"03-01": "audio-only", "01-01": "audio-video", "02-01": "video-only", "03-02": "audio-only"}
    channels = {"03-02": "song"}
    rows = [
        make_clip(clip, take=clip[3:], modality=modality, channel=channels.get(clip, "speech"))
        for clip, modality in files.items()
    ]
    folder = make_features(tmp_path / "f", rows, columns_of(files))
    assert load(folder).clips["clip"].to_pylist() == ["03-01"]
    assert load(folder, channel="all").clips["clip"].to_pylist() == ["03-01", "03-02"]
    assert load(folder, channel="song").x[:, 0].tolist() == [3_000]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (LOUD, "level = as-is, peak is asked for"),
        (ARTICLE.with_input(sample_rate_hz=16_000), "sample_rate_hz = 22050, 16000 is asked for"),
    ],
)
def test_features_made_otherwise(folder, asked, words):
    assert refused(folder, family=asked) == (
        f"{folder} was featurized with {words}: featurize the corpus again with that setting."
    )


def test_the_folder_that_differs_is_named(tmp_path, folder, make_clip, make_features):
    loud = make_features(tmp_path / "g", [make_clip("z")], {"z": np.zeros(160, "f4")}, families=[LOUD])
    assert refused(folder, loud).startswith(f"{loud} was featurized with level = peak")
    assert load(loud, family=LOUD).families == [LOUD]


def test_missing_frames(tmp_path, make_clip, make_features):
    folder = make_features(tmp_path / "f", [make_clip("a.wav")], columns_of(["a.wav"]))
    assert refused(folder, family=ARTICLE_FRAMES) == (
        f"{folder} holds article, and this model reads article-frames: featurize the corpus again with "
        "--features article-frames."
    )


def test_tables_of_pictures_alone(tmp_path, make_clip, make_features):
    folder = make_features(tmp_path / "f", [make_clip("a.wav")], {}, families=[PICTURES])
    assert refused(folder).startswith(f"{folder} holds pictures, and this model reads article: featurize")


def test_of_a_clip_with_several_windows_the_first_is_read_whatever_their_order(tmp_path, folder):
    file = tmp_path / "f" / "features" / "article" / "000000.parquet"
    table = read_tables(file.parent)
    others = [
        table.set_column(2, table.field("window"), pa.array([number] * 4, pa.int32())).set_column(
            table.column_names.index("mfcc_01_mean"), table.field("mfcc_01_mean"), pa.array([-9.0] * 4, pa.float32())
        )
        for number in (2, 1)
    ]
    write_table(pa.concat_tables([others[0], table, others[1]]), file)
    examples = load(folder)
    assert examples.clips["clip"].to_pylist() == CLIPS
    assert examples.x[:, 0].tolist() == [0, 1_000, 2_000, 3_000]
    write_table(pa.concat_tables([table, table.slice(0, 1)]), file)
    assert "hold a window twice in article" in refused(folder)


def test_a_family_of_several_windows_is_refused(folder):
    family = replace(ARTICLE, grid=WindowGrid(2.0, 1.0))
    assert refused(folder, family=family).startswith("The family 'article' has several windows a clip, and models are")


def test_one_clip_in_two_folders(tmp_path, folder, make_clip, make_features):
    more = make_features(tmp_path / "g", [make_clip("c.wav")], columns_of(["c.wav"]))
    assert refused(folder, more) == "The file '/corpus/c.wav' stands in two of the tables given: give it once."
    assert "stands in two" in refused(folder, folder)


def test_truth_and_labelled(tmp_path, make_clip, make_features):
    rows = [make_clip("a", "sad"), make_clip("b", None), make_clip("c", "calm")]
    rows[2]["soft_label"] = np.array([0, 0.5, 0.5, 0, 0, 0, 0, 0], "f4")
    examples = load(make_features(tmp_path / "f", rows, columns_of("abc")))
    assert examples.truth.tolist() == [3, -1, 1]
    known = labelled(examples)
    assert known.clips["clip"].to_pylist() == ["a", "c"]
    assert known.x[:, 0].tolist() == [0, 2_000]
    assert known.soft.shape == (2, 8)
    assert known.truth.tolist() == [3, 1]
    nothing = load(make_features(tmp_path / "g", rows[1:2], columns_of("b")))
    with pytest.raises(UserError, match=r"^None of the 1 clip is labelled: name the folders by emotion"):
        labelled(nothing)


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
def test_synthetic_if_any_folder_is(tmp_path, make_clip, make_features, flags):
    folders = [
        make_features(tmp_path / name, [make_clip(name)], columns_of(name), synthetic=flag)
        for name, flag in zip("ab", flags, strict=True)
    ]
    assert load(*folders).synthetic == any(flags)


def edit(folder, **values):
    path = Path(folder) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_manifests_of_another_release(folder):
    assert is_features(folder)
    assert read_manifest(folder)["fingerprint"] == "0" * 16
    edit(folder, families={"article": {**ARTICLE.to_json(), "hash": "0" * 16}})
    assert refused(folder) == (
        f"{folder}: the features 'article' of then are not computed any more: make them again. "
        "Featurize the corpus again."
    )
    edit(folder, schema_version="0")
    version = f"{folder} has schema version 0, this release reads 2: make it anew by python jobs/featurize.py"
    assert refused(folder) == f"{version} CORPUS --out NEW."
    (Path(folder) / "config.json").write_text('{"command": "featurize"}')
    assert refused(folder) == f"{version} --config {folder}/config.json --out NEW."


@pytest.mark.parametrize("content", ["", "{half", "[]", "null", "{}", '{"schema_version": "2", "families": 3}'])
def test_a_manifest_that_is_none(folder, content):
    (Path(folder) / "manifest.json").write_text(content)
    assert refused(folder) == (
        f"{folder}/manifest.json is not the manifest of feature tables: featurize the corpus again."
    )


def test_a_folder_without_a_manifest_is_no_feature_folder(tmp_path):
    assert not is_features(str(tmp_path))
    assert not is_features(str(tmp_path / "none"))
    (tmp_path / "manifest.json").mkdir()
    assert not is_features(str(tmp_path))


OWN = ("angry", "happy", "boredom")


@pytest.fixture
def own(tmp_path, make_clip, make_features):
    """A folder whose clips a, b, c, d are labelled with three emotions; d has no label."""
    folder = make_features(tmp_path / "own", [make_clip(clip) for clip in CLIPS], columns_of(CLIPS), emotions=list(OWN))
    names = [*OWN, None]
    soft = [np.array([name == emotion for emotion in OWN], np.float32) for name in names]
    rows = [
        {**make_clip(clip, name), "soft_label": shares} for clip, name, shares in zip(CLIPS, names, soft, strict=True)
    ]
    write_table(rows_to_table(rows, of_emotions(CLIPS_SCHEMA, OWN)), tmp_path / "own" / "clips" / "000000.parquet")
    return folder


def test_tables_of_another_set_of_emotions(own):
    examples = load(own)
    assert examples.emotions == OWN and examples.soft.shape == (4, 3)
    assert examples.truth.tolist() == [0, 1, 2, -1]


def test_two_sets_of_emotions_do_not_mix(folder, own):
    assert refused(folder, own) == (
        f"{own} is labelled with angry, happy, boredom, and {folder} with {', '.join(EMOTIONS)}: "
        "featurize both with the same --emotions."
    )


def test_tables_that_speak_of_another_set_than_they_have(own):
    path = Path(own) / "manifest.json"
    path.write_text(path.read_text().replace(', "boredom"]', "]"))
    assert "soft_label" in refused(own)
    path.write_text(path.read_text().replace('["angry", "happy"]', '["angry", "angry"]'))
    assert "is not the manifest of feature tables" in refused(own)


def test_clips_are_asked_about_the_emotions_that_a_model_knows(own):
    examples = in_emotions(load(own), EMOTIONS)
    assert examples.soft.shape == (4, 8)
    assert examples.clips["emotion"].to_pylist() == ["angry", "happy", None, None]
    assert examples.truth.tolist() == [EMOTIONS.index("angry"), EMOTIONS.index("happy"), -1, -1]
    mixed = replace(load(own), soft=np.array([[0.5, 0.0, 0.5]] * 4, np.float32))
    assert in_emotions(mixed, ("boredom", "sad")).soft.tolist() == [[1.0, 0.0]] * 4
    other = replace(load(own), soft=np.array([[0.25, 0.0, 0.75]] * 4, np.float32))
    asked = in_emotions(other, EMOTIONS)
    assert not asked.soft.any() and asked.truth.tolist() == [-1] * 4

"""Pictures stay on disk: what is known of them is which clips have some, and how many can be used."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.datasets import frames as frame_examples
from emocore.datasets.examples import labelled, with_actors
from emocore.datasets.frames import frame_files, frames_of, images_of, load_frame_examples, pictures_of, read_frames
from emocore.errors import UserError
from emocore.features.article import ARTICLE
from emocore.features.catalogue import to_json
from emocore.features.pictures import PICTURES
from emocore.schema import pictures_schema, rows_to_table
from emocore.storage.tables import write_table

PIXELS = 16
READING = PICTURES.with_input(pixels=PIXELS)


@pytest.fixture
def make(tmp_path, make_clip, make_features):
    """Write FEATURES of clips: `shown` gives the states of each clip's pictures, in order."""

    def write(name, shown, clips=None, seen=None, **manifest):
        rows = [make_clip(clip, **(clips or {}).get(clip, {})) for clip in shown]
        families = [READING if seen is None else seen]
        folder = make_features(tmp_path / name, rows, {}, families=families, **manifest)
        pictures = [
            {
                "clip": clip,
                "track": 0,
                "frame_index": 20 * i,
                "time_seconds": 0.8 * i,
                "state": state,
                "image": np.full((PIXELS, PIXELS), 10 * row + i, np.uint8),
            }
            for row, (clip, states) in enumerate(shown.items())
            for i, state in enumerate(states)
        ]
        if families[0].modality == "video":
            write_table(rows_to_table(pictures, pictures_schema(PIXELS)), tmp_path / name / "frames" / "000000.parquet")
        return folder

    return write


def refused(*folders, reading=READING, channel="speech"):
    with pytest.raises(UserError) as error:
        load_frame_examples(folders, channel, reading)
    assert "\n" not in str(error.value)
    return str(error.value)


def load(*folders, reading=READING):
    return load_frame_examples(folders, "speech", reading)


def test_clips_with_a_usable_picture_and_why_others_are_left_out(make):
    shown = {"c": ["ok", "no_face", "ok"], "a": ["ok"], "n": ["no_face", "no_face"], "s": []}
    examples = load(make("f", shown, {"s": {"state": "no_video"}, "a": {"state": "no_audio"}}, failures=3))
    assert examples.clips["clip"].to_pylist() == ["a", "c"]
    assert frames_of(examples).n_frames.tolist() == [1, 2]
    assert examples.left_out == {"failed": 3, "no_video": 1, "no_face": 1, "not_selected": 0}
    assert examples.made_by() == {"families": to_json([READING])}
    assert "n_frames" not in examples.clips.column_names


def test_no_image_is_read_to_load(make, monkeypatch):
    asked = []
    whole = frame_examples.read_table
    monkeypatch.setattr(
        frame_examples,
        "read_table",
        lambda path, columns, **options: asked.append(columns.names) or whole(path, columns, **options),
    )
    load(make("f", {"a": ["ok"], "b": ["ok"]}))
    assert asked == [["clip", "state"]]


def test_of_a_take_the_film_with_sound_is_read_where_its_pictures_are_usable(make):
    files = {
        "03-1": "audio-only",
        "01-1": "audio-video",
        "02-1": "video-only",
        "01-2": "audio-video",
        "02-2": "video-only",
    }
    clips = {clip: {"take": clip[3:], "modality": modality, "channel": "speech"} for clip, modality in files.items()}
    shown = {"03-1": [], "01-1": ["ok"], "02-1": ["ok"], "01-2": ["no_face"], "02-2": ["ok", "ok"]}
    examples = load(make("f", shown, clips))
    assert examples.clips["clip"].to_pylist() == ["01-1", "02-2"]
    assert examples.left_out["not_selected"] == 1


def test_nothing_to_look_at_is_one_sentence(make):
    folder = make("f", {"a": [], "b": []})
    assert refused(folder) == f"{folder}: none of the 2 clips has pictures in it: give films or images."
    faceless = make("g", {"a": ["no_face"], "b": []}, seen=READING.with_input(faces=True))
    assert refused(faceless, reading=READING.with_input(faces=True)) == (
        f"{faceless}: none of the 2 clips has a face in its pictures: give others, or leave out --faces."
    )
    sound = make("h", {"a": []}, seen=ARTICLE)
    assert refused(sound) == f"{sound} holds no pictures, which this model reads: featurize with --frames."


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (READING.with_input(every=10), "every = 20, 10 is asked for"),
        (
            READING.with_input(every=None, frames_per_second=2.0),
            "every = 20, frames_per_second = 2.0 is asked for",
        ),
        (READING.with_input(pixels=48), f"pixels = {PIXELS}, 48 is asked for"),
        (READING.with_input(faces=True), "faces = False, True is asked for"),
    ],
)
def test_pictures_made_otherwise(make, asked, words):
    folder = make("f", {"a": ["ok"]})
    assert pictures_of(folder) == READING
    assert refused(folder, reading=asked) == (
        f"{folder} was featurized with {words}: featurize the corpus again with that setting."
    )


def test_several_folders_are_one_set_and_share_no_clip(make):
    one, two = make("f", {"a": ["ok"]}), make("g", {"b": ["ok", "ok"]}, {"b": {"path": "/corpus/b"}}, synthetic=True)
    examples = load(one, two)
    assert frames_of(examples).n_frames.tolist() == [1, 2] and examples.synthetic
    assert [path.parent.parent.name for path in frame_files(frames_of(examples).folders)] == ["f", "g"]
    three = make("h", {"a": ["ok"]}, {"a": {"path": "/elsewhere/a"}})
    assert refused(one, three) == f"{one} and {three} both hold a clip 'a': featurize their corpora into one folder."


def test_rows_go_together(make):
    examples = load(
        make(
            "f",
            {"a": ["ok"], "b": ["ok", "ok"], "c": 3 * ["ok"]},
            {"b": {"emotion": None, "soft_label": np.zeros(8, "f4")}},
        )
    )
    known = labelled(examples)
    assert known.clips["clip"].to_pylist() == ["a", "c"] and frames_of(known).n_frames.tolist() == [1, 3]
    assert known.left_out["unlabelled"] == 1
    assert with_actors(known, "^(.)").clips["actor"].to_pylist() == ["a", "c"]


def test_frames_are_read_group_by_group_without_what_cannot_be_used(make):
    folder = make("f", {"a": ["ok", "no_face", "ok"], "b": ["ok"], "c": ["ok", "ok"]})
    (path,) = frame_files(frames_of(load(folder)).folders)
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=2)
    parts = list(read_frames(path, {"a", "c"}))
    assert [part["clip"].to_pylist() for part in parts] == [["a"], ["a"], ["c", "c"]]
    found = pa.concat_tables(parts)
    assert found["frame_index"].to_pylist() == [0, 40, 0, 20]
    images = images_of(found)
    assert images.dtype == np.uint8 and images.shape == (4, PIXELS, PIXELS)
    assert images[:, 3, 3].tolist() == [0, 2, 20, 21]
    assert list(read_frames(path, {"x"})) == []

"""Several families of one clip or window stand end to end, whatever the order of their tables."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from emocore.datasets.examples import load_examples
from emocore.datasets.windows import load_windows
from emocore.errors import UserError
from emocore.features.article import ARTICLE
from emocore.features.catalogue import FAMILIES, find_family, to_json
from emocore.features.listen import Windows
from emocore.features.rows import window_table
from emocore.storage.tables import write_table
from emocore.timeline import Window

PROSODY = FAMILIES["prosody"]
CLIPS = ["a.wav", "b.wav"]


def rows(clip, family, indices, value, state="ok"):
    values = np.full((len(indices), *family.shape), value, np.float32) + np.asarray(indices, np.float32)[:, None]
    windows = [Window(i, float(i), i + 2.0) for i in indices]
    return window_table([clip], family, Windows(windows, [state] * len(indices), np.full(len(indices), 0.5), values))


def write(folder, family, *tables):
    write_table(pa.concat_tables(tables).combine_chunks(), Path(folder) / "features" / family.name / "000000.parquet")


@pytest.fixture
def folder(tmp_path, make_clip, make_features):
    columns = {clip: np.zeros(160, np.float32) for clip in CLIPS}
    found = make_features(tmp_path / "f", [make_clip(clip, "sad") for clip in CLIPS], columns)
    manifest = json.loads((tmp_path / "f" / "manifest.json").read_text())
    manifest["families"] = to_json([ARTICLE, PROSODY])
    (tmp_path / "f" / "manifest.json").write_text(json.dumps(manifest))
    return found


def test_families_of_a_clip_stand_end_to_end(folder):
    write(folder, ARTICLE, rows("b.wav", ARTICLE, [0], 200), rows("a.wav", ARTICLE, [0, 1], 100))
    write(folder, PROSODY, rows("a.wav", PROSODY, [0], 10), rows("b.wav", PROSODY, [0], 20))
    x = load_examples([folder], [ARTICLE, PROSODY], "speech").x
    assert x.shape == (2, 160 + PROSODY.size)
    assert (x[:, 0].tolist(), x[:, -1].tolist()) == ([100, 200], [10, 20])


def test_windows_that_each_family_has_are_joined(folder):
    write(folder, ARTICLE, rows("b.wav", ARTICLE, [1, 0], 200), rows("a.wav", ARTICLE, [0], 100))
    write(
        folder,
        PROSODY,
        *(rows("a.wav", PROSODY, [0], 10), rows("b.wav", PROSODY, [0, 1], 20)),
        *(rows("b.wav", PROSODY, [2], 20), rows("b.wav", PROSODY, [3], 20, "silent")),
    )
    clips = load_examples([folder], [ARTICLE], "speech").clips
    found = load_windows(folder, [ARTICLE, PROSODY], clips)
    assert found.values[:, [0, -1]].tolist() == [[201, 21], [200, 20], [100, 10]]
    assert (found.clip_of.tolist(), found.weights.tolist()) == ([1, 1, 0], [0.5, 0.5, 0.5])


def test_what_stands_between_two_names_is_in_none(tmp_path, monkeypatch):
    (tmp_path / "joined_family_for_a_test.py").write_text(
        "from emocore.features.family import FeatureFamily, SoundInput\n"
        "BOTH = FeatureFamily('a+b', 1, SoundInput(), (2,), None)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError) as error:
        find_family("joined_family_for_a_test:BOTH")
    assert str(error.value) == "--features joined_family_for_a_test:BOTH is called 'a+b': + stands between two names."

"""What a family of another input is, and that the tables and models which are there stay what they are."""

import json
from importlib.resources import files

import pytest

from emocore.errors import UserError
from emocore.features.catalogue import FAMILIES, families_of, to_json
from emocore.features.family import FrameInput
from emocore.features.pictures import PICTURES

BY_TIME = PICTURES.with_input(every=None, frames_per_second=2.0)


def test_families_keep_the_hashes_that_tables_and_models_have():
    """Of the release before pictures were taken by time too."""
    before = {
        "article": "1503a4e160c4a47d",
        "article-frames": "e000c84f1141a0d9",
        "pictures": "7ddc2be7e605e988",
        "speech-encoder": "364d174287910584",
    }
    assert {name: FAMILIES[name].hash() for name in before} == before
    assert PICTURES.with_input(every=10, pixels=48).hash() == "8f03326c895be10f"
    assert list(PICTURES.to_json()["reads"]) == ["every", "pixels", "faces"]
    shipped = json.loads((files("emocore.models.weights") / "face-cnn/bundle.json").read_text())["families"]
    assert to_json(families_of(shipped).values()) == shipped


def test_pictures_by_time_come_back_from_json():
    told = json.loads(json.dumps(to_json([BY_TIME])))
    assert told["pictures"]["reads"] == {"every": None, "frames_per_second": 2.0, "pixels": 256, "faces": False}
    assert families_of(told)["pictures"] == BY_TIME
    other = PICTURES.with_input(every=None, frames_per_second=2.5)
    assert len({BY_TIME.hash(), other.hash(), PICTURES.hash()}) == 3


@pytest.mark.parametrize("both", [{"every": 20, "frames_per_second": 2.0}, {"every": None}])
def test_frames_are_taken_by_number_or_by_time(both):
    with pytest.raises(UserError, match=r"^Frames are taken by their number or by their time: got every = "):
        FrameInput(**both)

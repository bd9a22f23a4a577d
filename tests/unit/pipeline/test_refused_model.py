"""A model that cannot be loaded is refused before the output folder is claimed."""

import pytest

from emocore.errors import UserError
from emocore.pipeline.archive import here
from emocore.pipeline.label import label
from emocore.pipeline.options.label import LabelOptions


def test_a_model_of_frames_that_is_refused_leaves_no_folder(tmp_path, monkeypatch):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.mp4").write_bytes(b"not read")

    def refuse():
        raise UserError("damaged weights")

    monkeypatch.setattr(here, "wait_prepared", refuse)
    with pytest.raises(UserError, match="damaged weights"):
        label(LabelOptions(media=(str(tmp_path / "media"),), model="face-cnn", out=str(tmp_path / "LABELS")))
    assert not (tmp_path / "LABELS").exists()

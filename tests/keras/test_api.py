"""A film labelled from Python, and by a job without Ray: the same numbers."""

import pytest

import emocore
from emocore.corpora.synthetic.corpus import ClipPlan, DemoSettings, write_clip
from emocore.labels import EMOTIONS
from emocore.pipeline.archive import here
from emocore.pipeline.label import label
from emocore.pipeline.options.label import LabelOptions
from emocore.storage.tables import read_tables


@pytest.mark.slow
def test_a_film_has_the_answer_of_labellings_table(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(here.cluster, "is_running", lambda: False)
    *_, film = write_clip(ClipPlan(DemoSettings(), 1, "happy", "strong", "kids", 1), tmp_path / "films")
    label(LabelOptions(media=(str(film),), model="face-cnn", out=str(tmp_path / "LABELS")))
    tables = [read_tables(tmp_path / "LABELS" / name).to_pylist() for name in ("labels", "windows")]
    with emocore.load_model("face-cnn") as model:
        answer = model.label(film)
    assert answer.clip.state == "ok" and len(answer.windows) == 1
    for prediction, (row,) in zip([answer.clip, answer.windows[0]], tables, strict=True):
        for name in ("predicted", "confidence", "runner_up", "state"):
            assert getattr(prediction, name) == row[name]
        assert prediction.probabilities == {emotion: row[f"p_{emotion}"] for emotion in EMOTIONS}
        assert list(prediction.answered_by) == row["answered_by"]

"""A network's training up to where Ray begins: room on the machines, frames by clip, what comes out of it."""

import numpy as np
import pytest

from emocore.errors import OutputError, UserError
from emocore.models.fitting import Recipe
from emocore.models.network_settings import NetworkSettings
from emocore.pipeline import cluster
from emocore.pipeline.training import distributed
from emocore.pipeline.training.distributed import FrameSource, fit_network
from emocore.schema import pictures_schema, rows_to_table
from emocore.storage.tables import write_table

PIXELS = 16
NOBODY = FrameSource((), {})
SETTINGS = NetworkSettings(pixels=PIXELS, batch_size=4)


@pytest.fixture
def frames(tmp_path):
    """Eight frames of four clips, of two emotions."""
    rows = [
        {"clip": f"c{i // 2}", "frame_index": i % 2, "time_seconds": 0.0, "state": "ok"}
        | {"image": np.zeros((PIXELS, PIXELS), "u1")}
        for i in range(8)
    ]
    write_table(rows_to_table(rows, pictures_schema(PIXELS)), tmp_path / "F" / "frames" / "000000.parquet")
    return FrameSource((tmp_path / "F",), {f"c{i}": np.eye(8, dtype="f4")[i % 2] for i in range(4)})


@pytest.fixture
def ends_with(monkeypatch):
    """Have Ray Train's part of a training be what a function of its folder returns."""
    monkeypatch.setattr(cluster, "connect", lambda: None)
    monkeypatch.setattr(cluster, "machines", lambda: [{"CPU": 2}])
    monkeypatch.setattr(distributed, "stream", lambda *_: None)

    def end(outcome):
        monkeypatch.setattr(distributed, "_run", lambda *told: outcome(told[-1]))

    return end


@pytest.mark.parametrize(("key", "kind"), [("problem", UserError), ("unwritten", OutputError)])
def test_what_a_worker_could_not_do_is_raised_in_its_words(frames, ends_with, tmp_path, key, kind):
    ends_with(lambda _: {key: "The loss became NaN in epoch 2."})
    with pytest.raises(UserError) as error:
        fit_network(Recipe("cnn"), SETTINGS, frames, NOBODY, tmp_path / "work")
    assert type(error.value) is kind and str(error.value) == "The loss became NaN in epoch 2."
    assert not (tmp_path / "work" / "model").exists()


@pytest.mark.parametrize(("validated", "chosen"), [(False, {}), (True, {"epoch": 2})])
def test_the_best_epoch_is_chosen_where_there_was_validation_and_a_finished_training_is_read(
    frames, ends_with, tmp_path, validated, chosen
):
    history = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}, {"epoch": 3, "loss": 1.5}]

    def train(work):
        (work / "model").mkdir()
        (work / "model" / "model.keras").write_bytes(b"weights")
        return {"best_epoch": 2, "history": history}

    ends_with(train)
    held = frames if validated else NOBODY
    fitted = fit_network(Recipe("cnn"), SETTINGS, frames, held, tmp_path / "work")
    assert (fitted.chosen, fitted.history, fitted.files) == (chosen, history, {"model.keras": b"weights"})
    ends_with(None)  # whatever would train fails
    assert fit_network(Recipe("cnn"), SETTINGS, frames, held, tmp_path / "work") == fitted


def test_a_cluster_that_grows_is_waited_for_and_its_requests_are_taken_back(monkeypatch, capsys):
    seen = iter([[{"CPU": 8}], [{"CPU": 8}], [{"CPU": 8}, {"CPU": 8, "GPU": 1}]])
    asked = []
    monkeypatch.setattr(cluster, "machines", lambda: next(seen))
    monkeypatch.setattr(cluster, "ask_for", asked.append)
    monkeypatch.setattr(distributed, "_LOOK_SECONDS", 0)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    found = distributed._resources_once_there(NetworkSettings(gpus_per_worker=1))
    assert found == {"CPU": 6.0, "GPU": 1} and asked == [[{"CPU": 1, "GPU": 1}], []]
    assert "waiting for the cluster to grow, 15 minutes at most: --workers 1" in capsys.readouterr().out
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setattr(cluster, "machines", lambda: [{"CPU": 8}])
    with pytest.raises(UserError, match="asks for more GPUs than the 0 that are there"):
        distributed._resources_once_there(NetworkSettings(gpus_per_worker=1))


def test_workers_leave_room_for_reading_and_fit_on_the_machines(monkeypatch):
    def share(machines, **options):
        monkeypatch.setattr(cluster, "machines", lambda: machines)
        settings = NetworkSettings(**{"batch_size": 24, **options})
        return distributed._resources(settings)

    assert share([{"CPU": 2}]) == {"CPU": 1.5, "GPU": 0}
    assert share([{"CPU": 2}], workers=2) == {"CPU": 0.75, "GPU": 0}
    assert share([{"CPU": 4}, {"CPU": 4}], workers=3) == {"CPU": 1.5, "GPU": 0}
    assert share([{"CPU": 8}, {"CPU": 1}], workers=2) == {"CPU": 3.0, "GPU": 0}
    gpus = [{"CPU": 16, "GPU": 1}, {"CPU": 16, "GPU": 1}, {"CPU": 64}]
    assert share(gpus, workers=2, gpus_per_worker=1) == {"CPU": 12.0, "GPU": 1}
    with pytest.raises(UserError, match="asks for more GPUs than the 2 that are there"):
        share(gpus, workers=3, gpus_per_worker=1)
    with pytest.raises(UserError, match="is more than any machine here has"):
        share([{"CPU": 4, "GPU": 1}, {"CPU": 4, "GPU": 1}], workers=1, gpus_per_worker=2)


def test_trainings_share_the_machines_by_their_gpus(monkeypatch):
    def at_once(machines, **options):
        monkeypatch.setattr(cluster, "machines", lambda: machines)
        settings = NetworkSettings(**{"batch_size": 24, **options})
        n = distributed.trainings_at_once(settings)
        return n, distributed._resources(settings, n)["CPU"]

    assert at_once([{"CPU": 2}]) == (1, 1.5)
    assert at_once([{"CPU": 4}, {"CPU": 8}]) == (2, 3.0)  # the second one fits on the smaller machine
    assert at_once([{"CPU": 4}, {"CPU": 4}], workers=2) == (1, 3.0)
    eight = [{"CPU": 96, "GPU": 8}]
    assert at_once(eight, gpus_per_worker=1) == (8, 9.0)
    assert at_once(eight, gpus_per_worker=1, workers=4) == (2, 9.0)
    assert at_once([*eight, {"CPU": 64}], gpus_per_worker=1) == (8, 9.0)

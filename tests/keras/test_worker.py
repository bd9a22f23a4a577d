"""A training's epochs as one worker runs them, in this process: no Ray is started."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.labels import EMOTIONS
from emocore.models.augment import NONE
from emocore.models.bundle import bundle_folder
from emocore.models.catalogue import input_pixels, network_spec
from emocore.models.fitting import Recipe
from emocore.models.keras.checkpoints import last_checkpoint, read_checkpoint
from emocore.models.network_settings import NetworkSettings
from emocore.pipeline.training import distributed
from emocore.pipeline.training.frame_stream import FrameSource, read_labelled
from emocore.pipeline.training.worker import STOP, train_epochs
from emocore.schema import pictures_schema, rows_to_table
from emocore.storage.tables import write_table

PIXELS = 16
TINY = NetworkSettings(
    pixels=PIXELS,
    filters=(4,),
    dense=8,
    dropout=0.0,
    epochs=5,
    steps_per_epoch=4,
    batch_size=32,
    learning_rate=0.01,
    schedule="constant",
    augmentation=NONE,
    precision="float32",
)


class Shard:
    """What Ray Data hands a worker, of tables that are here already."""

    def __init__(self, tables):
        self.table = pa.concat_tables(tables)

    def iter_batches(self, batch_size, **_):
        for start in range(0, len(self.table), batch_size):
            yield self.table.slice(start, batch_size)


class Alone:
    """The session of a worker that trains with nobody; `then` hears of each epoch."""

    rank = 0

    def __init__(self, shards, then):
        self.shards, self.then, self.reported = shards, then, []

    def strategy(self, _):
        import tensorflow as tf  # noqa: PLC0415 - when a test runs, and not when pytest collects

        return tf.distribute.get_strategy()

    def shard(self, name):
        return Shard(self.shards[name])

    def broadcast(self, value):
        return value

    def report(self, figures, checkpoint):
        self.reported.append((figures["epoch"], figures["epochs"], checkpoint.name))
        if self.then:
            self.then(figures)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """32 frames of 16 clips in three files: with a batch of 32, every step sees them all."""
    folder, rng, labels = tmp_path_factory.mktemp("frames"), np.random.default_rng(0), {}
    for file, n in enumerate([12, 8, 12]):
        rows = []
        for i in range(n):
            clip, image = f"{file}-{i // 2}", rng.integers(0, 256, (PIXELS, PIXELS)).astype("u1")
            labels[clip] = np.eye(8, dtype="f4")[(file + i // 2) % 8]
            rows.append(
                {"clip": clip, "track": 0, "frame_index": i % 2, "time_seconds": 0.0, "state": "ok", "image": image}
            )
        write_table(rows_to_table(rows, pictures_schema(PIXELS)), folder / "frames" / f"{file:06d}.parquet")
    return FrameSource((folder,), labels)


def read(source, recipe, settings):
    """What a training streams of the source, as tables."""
    emotions = network_spec(recipe.model).emotions
    usable = distributed._usable(source, emotions, EMOTIONS)
    weights = distributed._weights(recipe, source, usable, EMOTIONS)
    soft = np.stack([source.labels[clip][[EMOTIONS.index(name) for name in emotions]] for clip in weights])
    labels = {
        "clip": pa.array(list(weights)),
        "soft": soft / soft.sum(axis=1, keepdims=True),
        "weight": np.array(list(weights.values()), np.float32),
    }
    paths = pa.table({"path": [str(path) for path in source.files()]})
    return usable, list(read_labelled(paths, labels, input_pixels(recipe.model, settings)))


def fit(recipe, settings, train, work, validation=None, then=None):
    """Train as `fit_network` does, by one worker in this process; return its outcome, its task and its session."""
    usable, tables = read(train, recipe, settings)
    shards = {"train": tables}
    if validation:
        shards["validation"] = read(validation, recipe, settings)[1]
    task = distributed._task(recipe, settings, train, usable, validation is not None, 1.0, work)
    distributed._prepare(work)
    session = Alone(shards, then)
    return train_epochs(task, session), task, session


def all_frames(source):
    tables = [pq.read_table(path) for path in source.files()]
    images = np.concatenate([table["image"].combine_chunks().to_numpy_ndarray() for table in tables])
    return images, np.stack([source.labels[clip] for table in tables for clip in table["clip"].to_pylist()])


def test_it_stops_early_and_keeps_the_best_weights(frames, tmp_path):
    """Validation labels that are never right: the more is learnt, the worse it becomes."""
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - imports TensorFlow

    wrong = {clip: np.roll(soft, 1) for clip, soft in frames.labels.items()}
    held = dataclasses.replace(frames, labels=wrong)
    settings = dataclasses.replace(TINY, epochs=9, patience=2, average=0.0)
    outcome, task, session = fit(Recipe("cnn", balanced=False), settings, frames, tmp_path, held)
    losses = [entry["val_loss"] for entry in outcome["history"]]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + settings.patience < 9 and outcome["best_epoch"] == best + 1
    assert session.reported == [(n, 9, f"epoch-{n:06d}") for n in range(1, len(losses) + 1)]
    images, soft = all_frames(held)
    network = FrameNetwork.load(tmp_path / task.out, "cnn").network
    logits = np.asarray(network(images[..., None].astype("f4"), training=False))
    logits = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -(logits * soft).sum(axis=1).mean()
    assert loss == pytest.approx(losses[best], rel=1e-4)
    assert abs(loss - losses[-1]) > 1e-2


def test_the_transfer_of_the_article_keeps_the_shipped_trunk(frames, tmp_path):
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - imports TensorFlow

    settings = dataclasses.replace(
        network_spec("transfer").settings, recipe="article", epochs=2, frozen_epochs=1, steps_per_epoch=2
    )
    outcome, task, _ = fit(Recipe("transfer"), settings, frames, tmp_path)
    network = FrameNetwork.load(tmp_path / task.out, "transfer").network
    base = FrameNetwork.load(bundle_folder("face-cnn"), "face-cnn").network
    names = ("kernel", "moving_mean")
    trunk, of_base = ([w for layer in n.layers[:-5] for w in layer.weights if w.name in names] for n in (network, base))
    same = {
        name: [np.array_equal(a, b) for a, b in zip(trunk, of_base, strict=False) if a.name == name] for name in names
    }
    assert all(same["moving_mean"]) and len(same["moving_mean"]) > 5  # the statistics stay the base's
    assert all(same["kernel"])
    assert len(outcome["history"]) == 2 and all(np.isfinite(entry["loss"]) for entry in outcome["history"])


def test_a_loss_that_is_no_number_stops_with_one_sentence(frames, tmp_path):
    # The loss of the first step, which is all of epoch 1, is that of the first weights.
    settings = dataclasses.replace(TINY, learning_rate=1e300, steps_per_epoch=1)
    outcome, _, _ = fit(Recipe("cnn"), settings, frames, tmp_path)
    assert outcome == {
        "problem": "The loss became NaN in epoch 2 of training cnn: lower --learning-rate, with another --out; the "
        f"checkpoint of epoch 1 is kept in {tmp_path / 'run'}."
    }
    assert last_checkpoint(tmp_path / "run").name == "epoch-000001"


def test_a_checkpoint_that_cannot_be_written_keeps_the_one_before(frames, tmp_path):
    run = tmp_path / "run"

    def block(figures):
        (run / f"epoch-{figures['epoch'] + 1:06d}").write_text("a file where a folder should be made")

    outcome, _, _ = fit(Recipe("cnn"), TINY, frames, tmp_path, then=block)
    state = run / "epoch-000002" / "state.npz"
    why = f"{state} cannot be written (File exists): see to that folder, and run the same command again."
    assert outcome == {"unwritten": why}
    assert last_checkpoint(run).name == "epoch-000001"
    assert read_checkpoint(last_checkpoint(run)).facts["epoch"] == 1
    (run / "epoch-000002").unlink()
    outcome, _, _ = fit(Recipe("cnn"), TINY, frames, tmp_path)
    assert [entry["epoch"] for entry in outcome["history"]] == [1, 2, 3, 4, 5]


def test_a_training_that_is_told_to_stop_ends_with_its_epoch_and_goes_on_when_called_again(frames, tmp_path):
    def stop(figures):
        if figures["epoch"] == 2:
            (tmp_path / STOP).touch()

    outcome, _, _ = fit(Recipe("cnn"), TINY, frames, tmp_path, then=stop)
    assert outcome == {"problem": "The training was told to stop after epoch 2."}
    kept = read_checkpoint(last_checkpoint(tmp_path / "run")).facts["history"]
    outcome, _, session = fit(Recipe("cnn"), TINY, frames, tmp_path)
    assert outcome["history"][:2] == kept and [epoch for epoch, _, _ in session.reported] == [3, 4, 5]


def test_checkpoints_of_another_training_are_refused(frames, tmp_path):
    fit(Recipe("cnn"), dataclasses.replace(TINY, epochs=1), frames, tmp_path)
    outcome, _, _ = fit(Recipe("cnn", seed=9), TINY, frames, tmp_path)
    run = tmp_path / "run"
    assert outcome == {"problem": f"{run} holds checkpoints of another training: give another folder."}


def test_a_log_that_cannot_be_written_stops_no_training(tmp_path):
    from emocore.models.keras.devices import summary_writer  # noqa: PLC0415 - it imports TensorFlow

    (tmp_path / "file").write_text("no folder")
    assert summary_writer(str(tmp_path / "file" / "tensorboard")) is None
    assert summary_writer(str(tmp_path / "tensorboard"))

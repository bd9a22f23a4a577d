"""Training by Ray Train: two workers, their deaths, the driver's, and what cannot be trained."""

import contextlib
import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import ray

from emocore.errors import UserError
from emocore.labels import EMOTIONS
from emocore.models.augment import NONE
from emocore.models.bundle import bundle_folder
from emocore.models.catalogue import network_spec
from emocore.models.fitting import Recipe
from emocore.models.keras.batches import endless
from emocore.models.keras.checkpoints import last_checkpoint, read_checkpoint
from emocore.models.network_settings import NetworkSettings
from emocore.pipeline import cluster as ray_cluster
from emocore.pipeline.training import distributed
from emocore.pipeline.training.distributed import FittedNetwork, fit_network
from emocore.pipeline.training.frame_stream import EqualShares, FrameSource, chunks, stream, usable_frames
from emocore.schema import pictures_schema, rows_to_table
from emocore.storage.tables import write_table

PIXELS = 16
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.cluster
NOBODY = FrameSource((), {})
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
    precision="float64",
)


def write_frames(folder, counts, *, skip=(), seed=0):
    """Write one file a number of frames, two frames a clip; the first two pixels hold the frame's number."""
    rng, number, labels = np.random.default_rng(seed), 0, {}
    for file, n in enumerate(counts):
        rows = []
        for i in range(n):
            clip, image = f"{file}-{i // 2}", rng.integers(0, 256, (PIXELS, PIXELS)).astype("u1")
            image[0, :2] = divmod(number, 256)
            labels[clip] = np.eye(8, dtype="f4")[(file + i // 2) % 8]
            state = "no_face" if number in skip else "ok"
            rows.append(
                {"clip": clip, "track": 0, "frame_index": i % 2, "time_seconds": 0.0, "state": state, "image": image}
            )
            number += 1
        write_table(rows_to_table(rows, pictures_schema(PIXELS)), folder / "frames" / f"{file:06d}.parquet")
    return FrameSource((folder,), labels)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """32 frames of 16 clips in three files: with a batch of 32, every step sees them all."""
    return write_frames(tmp_path_factory.mktemp("frames"), [12, 8, 12])


def draw(dataset, workers, share, rows):
    """Let so many workers draw `rows` rows each, as a training does; return the frames' numbers by worker."""
    found = [[] for _ in range(workers)]

    def work(worker, shard):
        source = endless(lambda: chunks(shard), share, 5, 0, 16, (7, worker))
        while len(found[worker]) < rows:
            images = next(source).images.astype(int)
            found[worker] += (images[:, 0, 0] * 256 + images[:, 0, 1]).tolist()

    shards = EqualShares().configure({"train": dataset}, workers)
    threads = [threading.Thread(target=work, args=(i, shards[i]["train"])) for i in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_every_usable_frame_is_seen_as_often_and_a_seed_repeats_the_order(cluster, tmp_path):
    skip = {3, 20, 45}
    source = write_frames(tmp_path, [20, 30, 14], skip=skip)
    labels = {clip: soft for clip, soft in source.labels.items() if clip != "1-4"}  # its frames: 28 and 29
    source = dataclasses.replace(source, labels=labels)
    usable = sorted(set(range(64)) - skip - {28, 29} - {63})  # of 59, an odd number, two workers see 58
    counts = usable_frames(source)
    assert sum(counts.values()) == 59 == 64 - 5
    runs = []
    for _ in range(2):
        dataset = stream(source, dict.fromkeys(counts, 1.0), EMOTIONS, PIXELS, seed=5)
        runs.append(draw(dataset, workers=2, share=29, rows=29 * 5))
    assert runs[0] == runs[1]
    times = np.bincount(np.concatenate(runs[0]), minlength=64)
    assert set(times[np.flatnonzero(times)]) == {5}
    assert (times > 0).sum() == 58
    assert set(np.flatnonzero(times)) <= {*usable, 63}
    assert set(runs[0][0]).isdisjoint(runs[0][1])


def worker_processes():
    """The processes of Ray Train's workers in this Ray session, and no other's on this machine."""
    session = ray._private.worker.global_worker.node.get_session_dir_path()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if b"RayTrainWorker" in (path / "cmdline").read_bytes():
                parent = (path / "stat").read_text().rsplit(")", 1)[1].split()[1]
                if session.encode() in Path("/proc", parent, "cmdline").read_bytes():
                    found.append(int(path.name))
        except OSError:
            continue  # it has ended
    return found


def kill_a_worker_after(folder, killed):
    """Kill one worker as soon as a checkpoint stands in the folder."""
    for _ in range(2400):
        if last_checkpoint(folder):
            killed.append(worker_processes()[-1])
            os.kill(killed[0], signal.SIGKILL)
            return
        time.sleep(0.05)


def fitted_by_keras(frames, steps):
    """The same network after so many steps on all frames, by Keras's own training in this process."""
    import keras  # noqa: PLC0415 - only this file pays for it

    from emocore.models.catalogue import build_network  # noqa: PLC0415 - imports TensorFlow

    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        keras.utils.set_random_seed(3)
        network = build_network("cnn", TINY)
        network.compile(keras.optimizers.Adam(0.01), keras.losses.CategoricalCrossentropy(from_logits=True))
        images, soft = all_frames(frames)
        for _ in range(steps):
            network.train_on_batch(images[..., None].astype("f8"), soft.astype("f8"))
        return network.get_weights()
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def all_frames(source):
    import pyarrow.parquet as pq  # noqa: PLC0415 - beside its use

    tables = [pq.read_table(path) for path in source.files()]
    images = np.concatenate([table["image"].combine_chunks().to_numpy_ndarray() for table in tables])
    return images, np.stack([source.labels[clip] for table in tables for clip in table["clip"].to_pylist()])


def test_two_workers_one_of_them_killed_are_one_process(cluster, frames, tmp_path, capsys):
    """Weights and statistics are equal on both, and those of Keras alone; the dead one's optimizer came back.

    Validation labels that are never right: both stop early, and keep the same weights.
    """
    killed = []
    killer = threading.Thread(target=kill_a_worker_after, args=(tmp_path / "run", killed))
    killer.start()
    settings = dataclasses.replace(TINY, workers=2, epochs=9, patience=2, steps_per_epoch=2)
    held = dataclasses.replace(frames, labels={clip: np.roll(soft, 1) for clip, soft in frames.labels.items()})
    fitted = fit_network(Recipe("cnn", seed=3, balanced=False), settings, frames, held, tmp_path)
    killer.join()
    said = capsys.readouterr().out
    assert killed
    assert re.search(r"was lost \(.+\); the training goes on from its last checkpoint", said)
    losses = [entry["val_loss"] for entry in fitted.history]
    best, last = 1 + int(np.argmin(losses)), len(losses)
    assert last == best + settings.patience < 9 and fitted.chosen == {"epoch": best}
    assert f"epoch {last} of 9" in said
    assert [entry["epoch"] for entry in fitted.history] == list(range(1, last + 1))
    groups = read_checkpoint(last_checkpoint(tmp_path / "run")).groups
    expected = {n: fitted_by_keras(frames, steps=2 * n) for n in (best, last)}
    for group, n in (("best", best), ("variables", last)):
        for mine, other in zip(groups[group], expected[n], strict=True):
            assert mine.dtype == np.float64
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-9)
    assert len(list((tmp_path / "run").glob("epoch-*"))) <= 3  # pruned
    assert list((tmp_path / "tensorboard").iterdir())
    answers_as_trained(fitted, frames, expected[best], tmp_path)
    again = fit_network(Recipe("cnn", seed=3, balanced=False), settings, frames, held, tmp_path)
    assert again == fitted  # without training


def answers_as_trained(fitted, frames, weights, folder):
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - imports TensorFlow

    bundle = folder / "bundle"
    bundle.mkdir()
    for name, content in fitted.files.items():
        (bundle / name).write_bytes(content)
    network = FrameNetwork.load(bundle, "cnn")
    images, _ = all_frames(frames)
    before = network.probabilities(images)
    network.network.set_weights(weights)
    np.testing.assert_allclose(before, network.probabilities(images), atol=1e-5)


DRIVER = """
import importlib.util, sys
from pathlib import Path
from emocore.pipeline import cluster
from emocore.pipeline.ray_private import on_the_loopback
spec = importlib.util.spec_from_file_location("tests_of_networks", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
# Told of 127.0.0.1, Ray looks at the machine's own address, where the session's Ray does not listen.
with on_the_loopback():
    cluster.connect()
module.train_long(Path(sys.argv[2]), Path(sys.argv[3]))
"""
TUNED = dataclasses.replace(
    network_spec("transfer").settings,
    recipe="fine-tune",
    frozen_epochs=1,
    workers=2,
    epochs=6,
    steps_per_epoch=2,
    batch_size=12,
    average=0.9,
)


def train_long(frames, work):
    """What a user's command does: the same in a process of its own and in this one."""
    source = write_frames(frames / "faces", [12, 12])
    return fit_network(Recipe("transfer", seed=1), TUNED, source, source, work)


@dataclasses.dataclass(frozen=True)
class Resumed:
    """A training that one process began, and the same call in another ended."""

    run: Path
    before: dict  # the facts of the checkpoint from which it went on
    fitted: FittedNetwork
    said: str
    prepared: int  # times that the folder was made ready


@pytest.fixture(scope="module")
def resumed(cluster, tmp_path_factory):
    """Two workers with validation, whose driver is killed; the call that goes on finds a snapshot that is no good."""
    root = tmp_path_factory.mktemp("resumed")
    work, run, calls, said = root / "work", root / "work" / "run", [], io.StringIO()
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-c", DRIVER, __file__, str(root), str(work)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": address}
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL) as driver:
        for _ in range(2400):
            whole = last_checkpoint(run)
            if (whole and whole.name >= "epoch-000002") or driver.poll() is not None:
                break
            time.sleep(0.05)
        driver.send_signal(signal.SIGKILL)
        assert driver.wait() == -signal.SIGKILL
    for _ in range(1200):  # they may live for a moment, and go on
        if not worker_processes():
            break
        time.sleep(0.05)
    before = read_checkpoint(last_checkpoint(run)).facts
    real = distributed._prepare

    def prepare(work):
        real(work)
        calls.append(work)
        if len(calls) == 1:
            (work / "run" / "checkpoint_manager_snapshot.json").write_text(json.dumps(snapshot()))

    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(said):
        patched.setattr(distributed, "_prepare", prepare)
        fitted = train_long(root, work)
    return Resumed(run, before, fitted, said.getvalue(), len(calls))


def snapshot():
    """What Ray's controller keeps of a checkpoint that is not there."""
    lost = {"checkpoint_dir_name": "epoch-000009", "metrics": {}}
    found = {"ray_version": ray.__version__, "checkpoint_results": [lost], "checkpoint_report_indices": [0]}
    found |= {"latest_checkpoint_result": lost, "pending_training_results": [], "pending_validation_specs": []}
    found |= {"current_report_index": 1, "validated_checkpoint_dir_names": []}
    return found | {"timed_out_validation_checkpoint_dir_names": [], "failed_validation_checkpoint_dir_names": []}


def test_a_driver_killed_goes_on_from_its_last_checkpoint(resumed):
    done = resumed.before["epoch"]
    assert 2 <= done < 6
    assert f"epoch {done + 1} of 6" in resumed.said
    history = resumed.fitted.history
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4, 5, 6]
    assert history[:done] == resumed.before["history"]  # not trained again, to the microsecond
    losses = [entry["val_loss"] for entry in history]
    assert resumed.fitted.chosen == {"epoch": 1 + int(np.argmin(losses))}
    assert last_checkpoint(resumed.run).name == "epoch-000006"


def test_a_snapshot_that_appears_behind_our_back_is_removed_once_more(resumed):
    """A killed driver's controller lives for a moment, and may write after we have looked."""
    assert resumed.prepared == 2 and resumed.fitted.history


def test_two_workers_fine_tune_from_the_shipped_faces(resumed, tmp_path):
    from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - imports TensorFlow

    for name, content in resumed.fitted.files.items():
        (tmp_path / name).write_bytes(content)
    network = FrameNetwork.load(tmp_path, "transfer").network
    base = FrameNetwork.load(bundle_folder("face-cnn"), "face-cnn").network
    names = ("kernel", "moving_mean")
    trunk, of_base = ([w for layer in n.layers[:-5] for w in layer.weights if w.name in names] for n in (network, base))
    same = {
        name: [np.array_equal(a, b) for a, b in zip(trunk, of_base, strict=False) if a.name == name] for name in names
    }
    assert all(same["moving_mean"]) and len(same["moving_mean"]) > 5  # the statistics stay the base's
    assert not any(same["kernel"])
    assert resumed.fitted.chosen["epoch"] > TUNED.frozen_epochs
    assert all(np.isfinite(entry["loss"]) for entry in resumed.fitted.history)


@pytest.mark.parametrize(
    ("model", "change", "sentence"),
    [
        ("cnn", {"workers": 32, "batch_size": 32}, "--workers 32 is more than the 16 training clips with pictures"),
        ("cnn", {"batch_size": 34, "workers": 2}, "gives each worker 17 frames at a time, and it has only 16: give at"),
        ("cnn", {"workers": 16}, r"--workers 16 is more than the \d+ CPUs that are there: lower it"),
        ("cnn", {"gpus_per_worker": 64}, r"asks for more GPUs than the \d+ that are there: lower either"),
        ("transfer", {"base": "/no/model.keras"}, "/no/model.keras does not exist: give --base the model.keras of a"),
    ],
)
def test_what_cannot_be_trained_is_said_before_anything_starts(cluster, frames, tmp_path, model, change, sentence):
    if change.get("workers") == 16 and ray_cluster.cpus() >= 16:
        pytest.skip("a machine with so many CPUs has room for 16 workers")
    settings = dataclasses.replace(network_spec("cnn").settings, **{"pixels": PIXELS, **change})
    with pytest.raises(UserError, match=sentence):
        fit_network(Recipe(model), settings, frames, NOBODY, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_emotion_is_nothing_to_learn(cluster, frames, tmp_path):
    labels = {clip: soft for clip, soft in frames.labels.items() if soft[2]}
    with pytest.raises(UserError, match="The training clips show only happy: at least two emotions are needed"):
        fit_network(Recipe("cnn"), TINY, dataclasses.replace(frames, labels=labels), NOBODY, tmp_path)

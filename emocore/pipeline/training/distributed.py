"""Train a frame network on the cluster, by one worker or many; a run that was cut off goes on where it was."""

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig

from emocore.errors import OutputError, UserError
from emocore.models.base import Settings, class_weights
from emocore.models.bundle import bundle_folder
from emocore.models.catalogue import input_pixels, network_spec, outputs
from emocore.models.fitting import Recipe
from emocore.models.keras.checkpoints import drop_checkpoints, last_checkpoint
from emocore.models.network_settings import NetworkSettings
from emocore.pipeline import cluster
from emocore.pipeline.ray_private import CheckpointManagerInitializationError, DataParallelTrainer, WorkerGroupError
from emocore.pipeline.training.epoch_log import Reporter, follow
from emocore.pipeline.training.frame_stream import EqualShares, FrameSource, stream, usable_frames
from emocore.pipeline.training.tf_config import Meeting
from emocore.pipeline.training.worker import STOP, Task, train_worker
from emocore.progress import say
from emocore.storage.files import write_text
from emocore.storage.local import writing

__all__ = ["FittedNetwork", "FrameSource", "fit_network"]

MAX_WORKER_DEATHS = 8  # of one call: spot machines go, and what ends a worker each time is nobody's spot machine
GROWTH_SECONDS = 900  # that a cluster has to start machines
_LOOK_SECONDS = 2.0
_DONE = "model"  # the folder of the finished network
_HISTORY = "history.json"  # in it: the last of its files
_PROGRESS = "progress.jsonl"


@dataclass(frozen=True)
class FittedNetwork:
    """The files that `FrameNetwork.load` reads, the best epoch where there was validation, and each epoch's figures."""

    files: dict[str, bytes]
    chosen: Settings
    history: list[dict[str, Any]]


def fit_network(
    recipe: Recipe,
    settings: NetworkSettings,
    train: FrameSource,
    validation: FrameSource,
    work: Path,
    side_by_side: int = 1,
) -> FittedNetwork:
    """Train the network on frames of the one source, and keep the weights that are best on the other's.

    `work` is a folder that all machines see. Called again with it, the training goes on from its last checkpoint.
    Without validation clips all epochs are trained. `side_by_side`: trainings like it that share the machines. Raises
    UserError.
    """
    if (work / _DONE / _HISTORY).exists():
        return _load(work)
    emotions, pixels = outputs(recipe.model, settings), input_pixels(recipe.model, settings)
    known = settings.emotions
    frames, held = (_usable(source, emotions, known) for source in (train, validation))
    weights = _weights(recipe, train, frames, known)
    _check_shares(settings, frames)
    cluster.connect()
    resources = _resources_once_there(settings, side_by_side)
    data = {"train": stream(train, weights, emotions, pixels, recipe.seed, known)}
    if held:
        data["validation"] = stream(validation, dict.fromkeys(held, 1.0), emotions, pixels, recipe.seed, known)
    task = _task(recipe, settings, train, frames, bool(held), resources["CPU"], work)
    _prepare(work)
    outcome = _run(lambda: _trainer(task, data, resources, work), f"train {recipe.model}", work)
    for key, kind in (("problem", UserError), ("unwritten", OutputError)):
        if key in outcome:
            raise kind(outcome[key])
    chosen = {"epoch": outcome["best_epoch"]} if held else {}
    facts = {"chosen": chosen, "history": outcome["history"]}
    write_text(Path(task.out) / _HISTORY, json.dumps(facts))
    return _load(work)


def _trainer(task: Task, data: dict[str, Any], resources: dict[str, float], work: Path) -> Any:
    run: dict[str, Any] = {  # Ray's type hints are those of its older release of Train
        "name": Path(task.folder).name,
        "storage_path": str(Path(task.folder).parent),
        "failure_config": FailureConfig(max_failures=MAX_WORKER_DEATHS),
        "checkpoint_config": CheckpointConfig(num_to_keep=2),
        "callbacks": [Reporter(work / _PROGRESS)],
        "logging_config": LoggingConfig(log_level="ERROR"),
    }
    worker: Any = train_worker
    return DataParallelTrainer(
        worker,
        backend_config=Meeting(),
        train_loop_config={"task": task},
        datasets=data,
        dataset_config=EqualShares(),
        scaling_config=ScalingConfig(
            num_workers=task.settings.workers,
            use_gpu=task.settings.gpus_per_worker > 0,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(**run),
    )


def _usable(source: FrameSource, emotions: tuple[str, ...], known: tuple[str, ...]) -> dict[str, int]:
    """Frames by clip, of the clips that show an emotion that the network has an output for."""
    columns = [known.index(emotion) for emotion in emotions]
    return {clip: n for clip, n in usable_frames(source).items() if source.labels[clip][columns].sum() > 0}


def _weights(
    recipe: Recipe, train: FrameSource, frames: Mapping[str, int], emotions: tuple[str, ...]
) -> dict[str, float]:
    """What a frame of each clip counts in the loss."""
    soft = np.array([train.labels[clip] * n for clip, n in frames.items()], np.float32).reshape(-1, len(emotions))
    of_class = class_weights(soft, recipe.balanced, emotions)
    if train.weights is not None:
        return {clip: train.weights[clip] for clip in frames}
    return {clip: float(train.labels[clip] @ of_class) for clip in frames}


def _check_shares(settings: NetworkSettings, frames: Mapping[str, int]) -> None:
    if len(frames) < settings.workers:
        raise UserError(
            f"--workers {settings.workers} is more than the {len(frames)} training clips with pictures: "
            f"give at most {len(frames)}."
        )
    share, batch = sum(frames.values()) // settings.workers, settings.batch_size // settings.workers
    if batch > share:
        raise UserError(
            f"--batch-size {settings.batch_size} gives each worker {batch} frames at a time, and it has only {share}: "
            f"give at most {share * settings.workers}."
        )


def trainings_at_once(settings: NetworkSettings) -> int:
    """Return how many trainings the machines have room for: by their GPUs, or a machine for each worker."""
    need, machines = settings.gpus_per_worker, cluster.machines()
    places = sum(int(machine.get("GPU", 0) / need) for machine in machines) if need else len(machines)
    return max(1, places // settings.workers)


def _resources_once_there(settings: NetworkSettings, side_by_side: int = 1) -> dict[str, float]:
    """Return `_resources`; a cluster that was joined is asked for what it lacks, and given the time to grow."""
    try:
        return _resources(settings, side_by_side)
    except UserError as lack:
        if not cluster.is_joined():
            raise
        say(f"waiting for the cluster to grow, {GROWTH_SECONDS // 60} minutes at most: {lack}")
    cluster.ask_for([{"CPU": 1, "GPU": settings.gpus_per_worker}] * settings.workers)
    try:
        until = time.monotonic() + GROWTH_SECONDS
        while time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
            with contextlib.suppress(UserError):
                return _resources(settings, side_by_side)
        return _resources(settings, side_by_side)
    finally:
        cluster.ask_for([])


def _resources(settings: NetworkSettings, side_by_side: int = 1) -> dict[str, float]:
    """CPUs and GPUs for each worker, so that all fit and a quarter of each machine's CPUs stays for reading."""
    workers = settings.workers * side_by_side
    machines = cluster.machines()
    cpus, gpus = (sum(machine.get(kind, 0) for machine in machines) for kind in ("CPU", "GPU"))
    if settings.gpus_per_worker * settings.workers > gpus:
        raise UserError(
            f"--workers {settings.workers} with --gpus-per-worker {settings.gpus_per_worker} asks for more GPUs than "
            f"the {gpus:.0f} that are there: lower either."
        )
    if settings.workers > cpus:
        raise UserError(f"--workers {settings.workers} is more than the {cpus:.0f} CPUs that are there: lower it.")
    free = [0.75 * machine.get("CPU", 0) for machine in machines]
    for share in sorted({cpu / n for cpu in free for n in range(1, workers + 1) if cpu}, reverse=True):
        places = [int(cpu / share + 1e-9) for cpu in free]
        if settings.gpus_per_worker:
            on_gpus = [int(machine.get("GPU", 0) / settings.gpus_per_worker) for machine in machines]
            places = [min(pair) for pair in zip(places, on_gpus, strict=True)]
        if sum(places) >= workers:
            return {"CPU": int(share * 1000) / 1000, "GPU": settings.gpus_per_worker}
    raise UserError(
        f"--gpus-per-worker {settings.gpus_per_worker} is more than any machine here has for {settings.workers} "
        "workers: lower either."
    )


def _task(
    recipe: Recipe,
    settings: NetworkSettings,
    train: FrameSource,
    frames: Mapping[str, int],
    validated: bool,
    cpus: float,
    work: Path,
) -> Task:
    total = sum(frames.values())
    base = _base(settings, network_spec(recipe.model).base)
    shown = np.sum([train.labels[clip] for clip in frames], axis=0) > 0
    names = json.dumps([recipe.model, recipe.seed, asdict(settings), sorted(frames.items())]).encode() + (base or b"")
    return Task(
        model=recipe.model,
        settings=settings,
        seed=recipe.seed,
        steps_per_epoch=settings.steps_per_epoch or max(1, total // settings.batch_size),
        share=total // settings.workers,
        threads=max(1, round(cpus + 0.01)),
        known=tuple(bool(value) for value in shown),
        validated=validated,
        base=base,
        fingerprint=hashlib.sha256(names).hexdigest()[:16],
        folder=str(work.absolute() / "run"),
        out=str(work.absolute() / _DONE),
        logs=str(work.absolute() / "tensorboard"),
    )


def _base(settings: NetworkSettings, name: str | None) -> bytes | None:
    if name is None:
        return None
    path = Path(settings.base) if settings.base else bundle_folder(name) / "model.keras"
    if not path.is_file():
        raise UserError(f"{path} does not exist: give --base the model.keras of a trained {name}.")
    return path.read_bytes()


def _prepare(work: Path) -> None:
    """Keep the last whole checkpoint, and nothing that Ray or a cut-off run left half-done."""
    run = work / "run"
    with writing(run):
        run.mkdir(parents=True, exist_ok=True)
    drop_checkpoints(run, keep=last_checkpoint(run))
    (run / "checkpoint_manager_snapshot.json").unlink(missing_ok=True)
    for name in (_PROGRESS, STOP):
        (work / name).unlink(missing_ok=True)
    shutil.rmtree(work / _DONE, ignore_errors=True)


def _run(make_trainer: Callable[[], Any], what: str, work: Path) -> dict[str, Any]:
    """Run Ray Train beside this thread, which says how far it is and hears Ctrl-C."""
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")  # epochs may be short
    if not cluster.is_joined():  # a process that looks for machines that are about to be taken away
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    outcome: list[Any] = []

    def fit() -> None:
        for is_last in (False, True):
            try:
                outcome.append(make_trainer().fit().return_value)
                return
            except BaseException as error:  # handed to the thread that waits
                # What a killed driver leaves alive for a moment may write its snapshot behind our back.
                if is_last or CheckpointManagerInitializationError.__name__ not in repr(error):
                    outcome.append(error)
                    return
            _prepare(work)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    follow(what, work / _PROGRESS, thread)
    if isinstance(outcome[0], WorkerGroupError) and _only_deaths(outcome[0]):
        raise UserError(
            f"The training stopped after {MAX_WORKER_DEATHS + 1} lost workers: see why they go (where memory runs out, "
            "lower --batch-size), and repeat the command to go on from its last checkpoint."
        )
    if isinstance(outcome[0], BaseException):
        with cluster.plainly(work):
            raise outcome[0]
    found: dict[str, Any] = outcome[0]
    return found


def _only_deaths(error: WorkerGroupError) -> bool:
    """Whether the workers' processes ended, rather than raised what only a mistake of ours would."""
    return all(isinstance(failure, ray.exceptions.RayActorError) for failure in error.worker_failures.values())


def _load(work: Path) -> FittedNetwork:
    files = {path.name: path.read_bytes() for path in sorted((work / _DONE).iterdir())}
    facts = json.loads(files.pop(_HISTORY))
    return FittedNetwork(files, facts["chosen"], facts["history"])

"""What each worker of a training runs: its epochs, from its last checkpoint on.

The worker knows of the others by its session alone: by Ray Train's, or by one that a single process stands in for.
"""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import ray.train
from ray.train import Checkpoint
from ray.train.collective import broadcast_from_rank_zero

from emocore.errors import OutputError, UserError
from emocore.models.catalogue import network_spec
from emocore.models.keras.batches import Feeder, endless, shuffle_rows
from emocore.models.keras.checkpoints import last_checkpoint, read_checkpoint, write_checkpoint
from emocore.models.network_settings import NetworkSettings
from emocore.pipeline.ray_private import CheckpointUploadMode
from emocore.pipeline.training.frame_stream import chunks, validation_batches
from emocore.storage.files import write_bytes
from emocore.storage.local import scratch

STOP = "stop"  # a file beside the checkpoints' folder: the training ends after the epoch
NAN_STEPS = 100  # between two looks at whether the loss is still a number


@dataclass(frozen=True)
class Task:
    """What the driver tells every worker; `base` holds the bytes of a model.keras."""

    model: str
    settings: NetworkSettings
    seed: int
    steps_per_epoch: int
    share: int  # training frames of a worker in one pass
    threads: int
    known: tuple[bool, ...]
    validated: bool
    base: bytes | None
    fingerprint: str
    folder: str  # of the checkpoints
    out: str  # where the finished network goes
    logs: str  # of TensorBoard

    @property
    def local_batch(self) -> int:
        """Frames of a batch that one worker takes."""
        return self.settings.batch_size // self.settings.workers


@dataclass
class Progress:
    """How far a training is, as its checkpoints keep it."""

    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[dict[str, Any]] = field(default_factory=list)

    def is_over(self, settings: NetworkSettings) -> bool:
        """Whether all epochs are done, or the last few were no better."""
        return self.epoch >= settings.epochs or self.epoch - self.best_epoch >= settings.patience


class Session(Protocol):
    """What a worker asks of those that train with it."""

    rank: int  # 0: the one that writes the files

    def strategy(self, task: Task) -> Any:
        """Start TensorFlow as the task says, and return the strategy that joins this worker to the others."""

    def shard(self, name: str) -> Any:
        """Return this worker's share of the frames "train" or "validation"."""

    def broadcast(self, value: Any) -> Any:
        """Return the value of the worker of rank 0; each worker must call it."""

    def report(self, figures: dict[str, Any], checkpoint: Path | None) -> None:
        """Tell the driver of an epoch, and of its checkpoint where this worker wrote it."""


class RaySession:
    """The session of a worker that Ray Train started."""

    def __init__(self) -> None:
        self.rank = ray.train.get_context().get_world_rank()

    def strategy(self, task: Task) -> Any:
        """Start TensorFlow; its workers have met by what Meeting told them."""
        from emocore.models.keras.devices import start_distributed  # noqa: PLC0415 - in the workers only

        return start_distributed(task.threads, task.settings.gpus_per_worker, task.settings.precision)

    def shard(self, name: str) -> Any:
        """Return what EqualShares gave this worker."""
        return ray.train.get_dataset_shard(name)

    def broadcast(self, value: Any) -> Any:
        """Return the value of the worker of rank 0."""
        return broadcast_from_rank_zero(value)

    def report(self, figures: dict[str, Any], checkpoint: Path | None) -> None:
        """Report to the controller, which leaves the checkpoint where it is."""
        ray.train.report(
            figures,
            checkpoint=Checkpoint.from_directory(checkpoint) if checkpoint else None,
            checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD,
        )


def train_worker(config: dict[str, Any]) -> dict[str, Any]:
    """What Ray Train calls on each worker, with {"task": Task}."""
    return train_epochs(config["task"], RaySession())


def train_epochs(task: Task, session: Session) -> dict[str, Any]:
    """Train; return the progress, the same on all workers.

    Where it cannot go on, {"problem": one sentence}, or {"unwritten": one} where the disk takes no more.
    """
    try:
        return _Training(task, session).run()
    except UserError as error:
        # Returned, not raised: Ray Train would try it again.
        return {"unwritten" if isinstance(error, OutputError) else "problem": str(error)}


class _Training:
    def __init__(self, task: Task, session: Session) -> None:
        self.task, self.settings, self.session = task, task.settings, session
        self.chief = session.rank == 0
        strategy = session.strategy(task)
        # TensorFlow is imported in the workers only.
        from emocore.models.keras.devices import summarize, summary_writer  # noqa: PLC0415 - as above
        from emocore.models.keras.train_step import Stepper  # noqa: PLC0415 - after its threads and precision are set

        base = _load_base(task)
        self.stepper = Stepper(task.model, self.settings, task.steps_per_epoch, strategy, task.seed, base)
        self.progress, self.best = Progress(), self.stepper.weights()
        self.writer, self._summarize = summary_writer(task.logs) if self.chief else None, summarize

    def run(self) -> dict[str, Any]:
        self._restore()
        task = self.task
        train = self.session.shard("train")
        validation = self.session.shard("validation") if task.validated else None
        seed, first = (task.seed, self.session.rank), self.stepper.iterations
        frames = endless(
            lambda: chunks(train),
            task.share,
            task.local_batch,
            first * task.local_batch,
            shuffle_rows(self.stepper.pixels),
            seed,
        )
        feeder = Feeder(frames, first, self.settings.augmentation, seed, task.threads)
        with feeder as batches:
            while not self.progress.is_over(self.settings):
                self._run_epoch(batches, validation)
                if self.session.broadcast((Path(task.folder).parent / STOP).exists()):
                    raise UserError(f"The training was told to stop after epoch {self.progress.epoch}.")
        problem = self.session.broadcast(self._finish() if self.chief else None)  # nobody leaves before it is there
        if problem:
            raise OutputError(problem)
        return vars(self.progress)

    def _run_epoch(self, batches: Any, validation: Any) -> None:
        started, epoch = time.monotonic(), self.progress.epoch
        self.stepper.begin_epoch(epoch)
        sums: Any = 0.0
        for step in range(self.task.steps_per_epoch):
            sums = sums + self.stepper.train(tuple(next(batches)))
            if (step + 1) % NAN_STEPS == 0 or step + 1 == self.task.steps_per_epoch:
                score = self.stepper.score(sums)
                self._check(score.loss, epoch)
        seconds = time.monotonic() - started
        figures = {
            "epoch": epoch + 1,
            "loss": score.loss,
            "accuracy": score.accuracy,
            "images_a_second": self.task.steps_per_epoch * self.settings.batch_size / seconds,
        }
        if validation is not None:
            held = self.stepper.score(self.stepper.validate(validation_batches(validation, self.task.local_batch)))
            self._check(held.loss, epoch)
            figures |= {"val_loss": held.loss, "val_accuracy": held.accuracy}
        self._note(figures | {"seconds": time.monotonic() - started})

    def _note(self, figures: dict[str, Any]) -> None:
        progress = self.progress
        progress.epoch = figures["epoch"]
        progress.history.append(figures)
        loss = figures.get("val_loss")
        if loss is None or loss < progress.best_loss:
            progress.best_epoch, progress.best_loss = progress.epoch, math.inf if loss is None else loss
            self.best = self.stepper.weights()
        self._check_equal()
        checkpoint = self._save()
        if self.writer:
            self._summarize(self.writer, figures)
        self.session.report({**figures, "epochs": self.settings.epochs}, checkpoint)

    def _check(self, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            kept = f"; the checkpoint of epoch {epoch} is kept in {self.task.folder}" if epoch else ""
            raise UserError(
                f"The loss became NaN in epoch {epoch + 1} of training {self.task.model}: lower --learning-rate, with "
                f"another --out{kept}."
            )

    def _check_equal(self) -> None:
        digest = self.stepper.digest()
        if not self.stepper.agree(digest == self.session.broadcast(digest)):
            raise UserError(
                f"The workers' weights differ after epoch {self.progress.epoch} of training {self.task.model}, which "
                "must not be: repeat the command to go on from the epoch before, and report it if it happens again."
            )

    def _save(self) -> Path | None:
        path, problem = None, None
        if self.chief:
            facts = {**vars(self.progress), "fingerprint": self.task.fingerprint}
            groups = {**self.stepper.state(), "best": self.best}
            try:
                path = write_checkpoint(Path(self.task.folder), self.progress.epoch, groups, facts)
            except OutputError as error:
                problem = str(error)
        problem = self.session.broadcast(problem)
        if problem:
            raise OutputError(problem)
        return path

    def _restore(self) -> None:
        last = last_checkpoint(Path(self.task.folder)) if self.chief else None
        name = self.session.broadcast(last.name if last else None)
        if name is None:
            return
        groups, facts = read_checkpoint(Path(self.task.folder) / name)
        if facts.pop("fingerprint") != self.task.fingerprint:
            raise UserError(f"{self.task.folder} holds checkpoints of another training: give another folder.")
        self.best = groups.pop("best")
        self.stepper.restore(groups)
        self.progress = Progress(**facts)

    def _finish(self) -> str | None:
        from emocore.models.keras.frame_network import FrameNetwork  # noqa: PLC0415 - imports TensorFlow
        from emocore.models.keras.train_step import final_network  # noqa: PLC0415 - imports TensorFlow

        network = final_network(self.task.model, self.settings, self.best)
        try:
            FrameNetwork(self.task.model, self.settings, network, np.array(self.task.known)).save(Path(self.task.out))
        except OutputError as error:
            return str(error)
        return None


def _load_base(task: Task) -> Any:
    name = network_spec(task.model).base
    if task.base is None or name is None:
        return None
    from emocore.models.keras.frame_network import load_keras  # noqa: PLC0415 - imports TensorFlow

    with scratch() as folder:
        write_bytes(folder / "model.keras", task.base)
        return load_keras(folder / "model.keras", name, network_spec(name).settings)

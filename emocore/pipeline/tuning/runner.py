"""A search on Ray Tune: its trials share their processes; what is over is handed over at once."""

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

from emocore.errors import OutputError
from emocore.models.base import Settings
from emocore.models.spaces import Choice, Space
from emocore.pipeline import cluster
from emocore.pipeline.tuning.objective import Candidates
from emocore.pipeline.tuning.trial import BATCH, NUMBER, UNWRITTEN, Row, Trial, decode, failed_row, is_over

RETRIES = 2  # of a trial whose process died
DIED = "its process died each time: see where memory runs out"
# asha: behind 10 and 30 % of the training only the best third of those that came so far goes on.
FIRST_PERCENT, LAST_PERCENT, REDUCTION = 10, 80, 3


@dataclass(frozen=True)
class Room:
    """What a trial asks for, how many may run at once (None: all that there is room for), and whether they share
    processes.
    """

    resources: dict[str, float]
    at_once: int | None = None
    reuse: bool = True


@dataclass(frozen=True)
class TrialRunner:
    """Scores settings; hands the row of each to `keep` when it is over. `folder` is storage that all machines see."""

    candidates: Candidates
    room: Room
    folder: Path
    keep: Callable[[Row], None]

    def score(self, settings: Sequence[Row], in_parts: bool) -> None:
        """Score settings that are known, rows of {"number", "setting"}; in parts, poor ones are stopped early.

        Settings whose process died are tried again, each in a trial of its own, and then fail.
        """
        kept: set[int] = set()

        def keep(row: Row) -> None:
            if row[NUMBER] not in kept:
                kept.add(row[NUMBER])
                self.keep(row)

        for retries in (0, RETRIES):
            waiting = [task for task in settings if task[NUMBER] not in kept]
            if not waiting:
                return
            sizes = [1] * len(waiting) if in_parts or retries else batch_sizes(len(waiting), _slots(self.room))
            ends = list(accumulate(sizes, initial=0))
            batches = [waiting[start:end] for start, end in pairwise(ends)]
            how = tune.TuneConfig(scheduler=_asha() if in_parts else None)
            self._fit(_Rows(keep), how, in_parts, retries, {BATCH: tune.grid_search(batches)})
        for task in settings:
            if task[NUMBER] not in kept:
                keep(failed_row(task, DIED, 0.0))

    def propose(self, space: Space, known: Sequence[Row], samples: int, seed: int) -> None:
        """Score `samples` settings that Optuna proposes from what is `known`; poor ones are stopped early."""
        import optuna  # noqa: PLC0415 - not in each trial's process
        from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415 - as above

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # As Tune tells Optuna of them while a search runs.
        told = [row for row in known if row["score"] is not None or row["state"] == "failed"]
        inside = [row for row in told if is_inside(space, row["setting"])]
        searcher = OptunaSearch(
            {name: _domain(values) for name, values in space.items()},
            metric="score",
            mode="max",
            seed=seed + len(known),
            points_to_evaluate=[_encode(space, row["setting"]) for row in inside] or None,
            evaluated_rewards=[row["score"] or 0.0 for row in inside] or None,
        )
        first = 1 + max((row[NUMBER] for row in known), default=-1)
        how = tune.TuneConfig(search_alg=searcher, scheduler=_asha(), num_samples=samples)
        self._fit(_Rows(self.keep, first, is_last=True), how, True, RETRIES, {})

    def _fit(self, rows: "_Rows", how: tune.TuneConfig, in_parts: bool, retries: int, space: dict[str, Any]) -> None:
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
        os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # else it greets, whatever `verbose` says
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what fails is a row
        trainable = tune.with_parameters(Trial, candidates=self.candidates, in_parts=in_parts)
        how = replace(
            how, metric="score", mode="max", reuse_actors=self.room.reuse, max_concurrent_trials=self.room.at_once
        )
        run = tune.RunConfig(
            name=f"{time.time_ns():x}",
            storage_path=str(self.folder),
            verbose=0,
            callbacks=[rows],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=retries),
        )
        placed = tune.with_resources(trainable, tune.PlacementGroupFactory([self.room.resources]))
        with cluster.plainly(self.folder):  # Tune writes there too
            tune.Tuner(placed, param_space=space, tune_config=how, run_config=run).fit()
        rows.check()


class _Rows(tune.Callback):
    """Hands the rows of trials to the driver, each once it is over."""

    def __init__(self, keep: Callable[[Row], None], first: int = 0, is_last: bool = False) -> None:
        self.keep, self.first, self.is_last = keep, first, is_last
        self.numbers: dict[str, int] = {}
        self.open: dict[str, Row] = {}
        self.fault: OutputError | None = None  # the disk takes no more: no setting's doing

    def check(self) -> None:
        """Raise OutputError where a row, or what a trial writes, could not be written."""
        if self.fault:
            raise self.fault

    def on_step_end(self, iteration: int, trials: list[Any], **_: Any) -> None:  # noqa: ARG002 - Ray's
        """End the search where the disk is full; what `on_trial_result` raises would be a trial's fault to Tune."""
        self.check()

    def _hand_over(self, row: Row) -> None:
        try:
            self.keep(row)
        except OutputError as error:
            self.fault = error

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002 - Ray's
        """Number the trials in the order of their begin."""
        self.numbers.setdefault(trial.trial_id, self.first + len(self.numbers))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Row, **_: Any) -> None:  # noqa: ARG002 - Ray's
        """Hand over what is over."""
        for row in result["rows"]:
            if row["state"] == UNWRITTEN:
                self.fault = OutputError(row["reason"])
                return
            if row[NUMBER] is None:
                row[NUMBER] = self.numbers[trial.trial_id]
            self.open[trial.trial_id] = row
            if is_over(row):
                self._hand_over(self.open.pop(trial.trial_id))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002 - Ray's
        """Hand over what was stopped early."""
        row = self.open.pop(trial.trial_id, None)
        if row:
            self._hand_over({**row, "state": "stopped"})

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002 - Ray's
        """Hand over what nobody will try again."""
        self.open.pop(trial.trial_id, None)
        if self.is_last:
            number = self.numbers.setdefault(trial.trial_id, self.first + len(self.numbers))
            self._hand_over(failed_row({NUMBER: number, "setting": decode(trial.config)}, DIED, 0.0))

    def __reduce__(self) -> Any:
        # Tune writes its callbacks to disk, for a restart of its own that we do not use.
        return tune.Callback, ()


def batch_sizes(n: int, slots: int) -> list[int]:
    """Return how many settings each trial takes: fewer towards the end, so that all processes end together.

    >>> batch_sizes(20, 2)
    [3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    sizes = []
    while n:
        sizes.append(-(-n // (4 * slots)))
        n -= sizes[-1]
    return sizes


def _slots(where: Room) -> int:
    total = ray.cluster_resources()  # type: ignore[no-untyped-call] # Ray has no types here
    room = [int(total.get(kind, 0) / need) for kind, need in where.resources.items() if need]
    return max(1, min([*room, *([where.at_once] if where.at_once else [])], default=1))


class _Asha(ASHAScheduler):
    """Stops poor trials early, but not the model's defaults, beside which the best is shown."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether a trial goes on."""
        if result["rows"][-1]["state"] == "failed":
            return str(self.CONTINUE)
        action: str = super().on_trial_result(tune_controller, trial, result)
        return self.CONTINUE if result["rows"][-1][NUMBER] == 0 else action

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Count a trial that was trained whole."""
        if result["rows"][-1]["state"] != "failed":
            super().on_trial_complete(tune_controller, trial, result)


def _asha() -> _Asha:
    return _Asha(
        time_attr="percent",
        max_t=LAST_PERCENT,
        grace_period=FIRST_PERCENT,
        reduction_factor=REDUCTION,
        stop_last_trials=False,
    )


def _domain(values: Any) -> Any:
    if isinstance(values, Choice):
        return tune.choice([json.dumps(value) for value in values.values])
    if values.low == values.high:
        return tune.choice([values.low])
    if values.whole:
        make = tune.lograndint if values.log else tune.randint
        return make(int(values.low), int(values.high) + 1)
    return (tune.loguniform if values.log else tune.uniform)(values.low, values.high)


def _encode(space: Space, setting: Settings) -> dict[str, Any]:
    """Return a setting as Optuna knows it: choices by their JSON text, as they may be lists."""
    found = dict(setting)
    for name, values in space.items():
        if isinstance(values, Choice):  # a default of 10.0 is the choice 10
            found[name] = json.dumps(values.values[values.values.index(setting[name])])
    return found


def is_inside(space: Space, setting: Settings) -> bool:
    """Whether Optuna could have proposed the setting."""
    if set(setting) != set(space):
        return False
    for name, value in setting.items():
        values = space[name]
        if isinstance(values, Choice):
            if value not in values.values:
                return False
        elif isinstance(value, str) or value is None or not values.low <= value <= values.high:
            return False
    return True

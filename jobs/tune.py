#!/usr/bin/env python3
"""Search a model's settings: python jobs/tune.py DATA… --model xgboost --search random --samples 50 --out RUN."""

from emocore.cli import run_job
from emocore.pipeline.options.run import TuneOptions
from emocore.progress import say
from emocore.reports.summary import run_lines


class Tune(TuneOptions):
    """Try settings on folds of the training actors, and fit one model with the best on all of them."""


def main(options: Tune) -> None:
    """Search, and show the best setting and how well it does on actors that it never heard."""
    from emocore.pipeline.runs import tune  # noqa: PLC0415 - the work takes seconds to import: after the options are read

    done = tune(options)
    say(*run_lines(done.metrics, done.already_finished, options.out).split("\n"))


if __name__ == "__main__":
    run_job(Tune, main)

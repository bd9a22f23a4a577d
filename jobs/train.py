#!/usr/bin/env python3
"""Fit one model: python jobs/train.py DATA… --model svc --out RUN."""

from emocore.cli import run_job
from emocore.pipeline.options.run import TrainOptions
from emocore.progress import say
from emocore.reports.summary import run_lines


class Train(TrainOptions):
    """Fit one model on all actors, or on the training actors of a protocol with one fold."""


def main(options: Train) -> None:
    """Train, and show how well the model does on actors that it never heard."""
    from emocore.pipeline.runs import train  # noqa: PLC0415 - the work takes seconds to import: after the options are read

    done = train(options)
    say(*run_lines(done.metrics, done.already_finished, options.out).split("\n"))


if __name__ == "__main__":
    run_job(Train, main)

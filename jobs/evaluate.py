#!/usr/bin/env python3
"""Measure a model on unseen actors: python jobs/evaluate.py DATA… --model svc --protocol sequential6 --out RUN."""

from emocore.cli import run_job
from emocore.pipeline.options.run import EvaluateOptions
from emocore.progress import say
from emocore.reports.summary import run_lines


class Evaluate(EvaluateOptions):
    """Fit on the training actors of every fold, and score the actors that were left out."""


def main(options: Evaluate) -> None:
    """Evaluate, and show the figures with their intervals."""
    from emocore.pipeline.runs import evaluate  # noqa: PLC0415 - the work takes seconds to import: after the options are read

    done = evaluate(options)
    say(*run_lines(done.metrics, done.already_finished, options.out).split("\n"))


if __name__ == "__main__":
    run_job(Evaluate, main)

#!/usr/bin/env python3
"""Measure a model on unseen actors: python jobs/evaluate.py DATA… --model svc --protocol sequential6 --out RUN."""

from dataclasses import dataclass

from emocore.cli import run_job
from emocore.pipeline.runs import RunOptions, evaluate
from emocore.pipeline.summary import run_lines


@dataclass(frozen=True, kw_only=True)
class Evaluate(RunOptions):
    """Fit on the training actors of every fold, and score the actors that were left out."""

    model: str
    """svc, svc-linear, random-forest, xgboost, mlp, audio-conv1d, or the RUN folder of a finished model"""
    protocol: str
    """article, article-video, luna5, emobox6, sequential6, loso, grouped5, given; as-is: a finished model as it is"""


def main(options: Evaluate) -> None:
    """Evaluate, and show the figures with their intervals."""
    print(run_lines(evaluate(options, options.model, options.protocol), options.out))


if __name__ == "__main__":
    run_job(Evaluate, main)

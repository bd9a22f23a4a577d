#!/usr/bin/env python3
"""Fit one model: python jobs/train.py DATA… --model svc --out RUN."""

from dataclasses import dataclass

from emocore.cli import run_job
from emocore.pipeline.runs import RunOptions, train
from emocore.pipeline.summary import run_lines


@dataclass(frozen=True, kw_only=True)
class Train(RunOptions):
    """Fit one model on all actors, or on the training actors of a protocol with one fold."""

    model: str
    """svc, svc-linear, random-forest, xgboost, mlp, or audio-conv1d"""
    protocol: str = "all"
    """all, article, article-video, or given"""


def main(options: Train) -> None:
    """Train, and show how well the model does on actors that it never heard."""
    print(run_lines(train(options, options.model, options.protocol), options.out))


if __name__ == "__main__":
    run_job(Train, main)

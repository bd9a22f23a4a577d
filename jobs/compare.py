#!/usr/bin/env python3
"""Compare finished runs on the clips that all of them tested: python jobs/compare.py RUN RUN… --out DIR."""

from emocore.cli import run_job
from emocore.pipeline.options.compare import CompareOptions
from emocore.progress import say


class Compare(CompareOptions):
    """Say by how much runs differ in UAR and accuracy, and whether that is beyond the noise of other people."""


def main(options: Compare) -> None:
    """Compare, and say in words what came of it."""
    from emocore.pipeline.compare import compare  # noqa: PLC0415 - the work takes seconds to import: after the options are read

    say(*compare(options))


if __name__ == "__main__":
    run_job(Compare, main)

#!/usr/bin/env python3
"""See the whole path on a generated corpus: python jobs/demo.py --out DIR."""

from emocore.cli import run_job
from emocore.pipeline.options.demo import DemoOptions
from emocore.progress import say


class Demo(DemoOptions):
    """Generate a small labelled corpus, featurize it, train, evaluate on unseen actors, and label an archive."""


def main(options: Demo) -> None:
    """Run the demo; the last line is the path of the report."""
    from emocore.pipeline.demo import run_demo  # noqa: PLC0415 - the work takes seconds to import: after the options are read

    say(*str(run_demo(options)).split("\n"))


if __name__ == "__main__":
    run_job(Demo, main)

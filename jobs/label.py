#!/usr/bin/env python3
"""Label media: python jobs/label.py MEDIA… --model RUN --out LABELS."""

from pathlib import Path

from emocore.cli import run_job
from emocore.pipeline.archive.here import begun
from emocore.pipeline.options.label import LabelOptions
from emocore.progress import say


class Label(LabelOptions):
    """Give every supported file under the folders, or every clip of feature tables, an emotion.

    With a probability for each emotion that the model knows.
    """


def main(options: Label) -> None:
    """Label, and say what came of it."""
    if options.dry_run or options.gpus_per_worker is not None:
        _label(options)
        return
    with begun("emocore.pipeline.label:prepare", options.model, *options.media):
        _label(options)


def _label(options: Label) -> None:
    # The work takes seconds to import: after the options are read.
    from emocore.corpora.leave_out import describe_passed_over  # noqa: PLC0415 - after the options were read
    from emocore.pipeline.label import dry_run, label  # noqa: PLC0415 - after the options were read
    from emocore.reports.summary import label_line  # noqa: PLC0415 - after the options were read

    if options.dry_run:
        say(*dry_run(options))
        return
    done = label(options)
    state = "was finished already" if done.already_finished else "finished"
    say(f"{options.out} {state}: {label_line(done.summary)}")
    if done.summary["passed_over"]:
        say(describe_passed_over(done.summary["passed_over"]))
    say(str(Path(options.out) / "report.html"))


if __name__ == "__main__":
    run_job(Label, main)

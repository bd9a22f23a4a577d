#!/usr/bin/env python3
"""Media to feature tables: python jobs/featurize.py CORPUS… --out FEATURES."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from emocore.cli import check_positive, options_to_json, run_job
from emocore.media.reading import Reading
from emocore.pipeline.data import CorpusOptions
from emocore.pipeline.featurize import featurize


@dataclass(frozen=True, kw_only=True)
class Featurize(CorpusOptions):
    """Read every clip of the corpora, and write typed feature tables."""

    corpora: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CORPUS…")]
    """folders, zips, folders of zips, or CSV and Parquet manifests"""
    out: str
    """the FEATURES folder to write"""
    mfcc: bool = False
    """keep the 157×39 MFCC frames of every clip, which audio-conv1d reads (24 KB a clip)"""
    frames: bool = False
    """keep pictures of the films, 256×256 in grey (64 KB each)"""
    every: int = 20
    """which pictures: 20 takes those at frame indices 0, 20, 40 …"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("--every", self.every)


def main(options: Featurize) -> None:
    """Featurize, and say what came of it."""
    done = featurize(
        options.list(options.corpora),
        options.out,
        options.features(),
        mfcc=options.mfcc,
        reading=Reading(options.every if options.frames else None, options.seconds_per_file),
        options=options_to_json(options, leave_out=("out", "max_failures"), paths=("corpora",)),
        max_failures=options.max_failures,
    )
    state = "was finished already" if done.already_finished else "finished"
    print(f"{options.out} {state}: {done.clips:,} clips, {done.failures:,} failures")


if __name__ == "__main__":
    run_job(Featurize, main)

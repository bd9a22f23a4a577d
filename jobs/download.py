#!/usr/bin/env python3
"""The published recordings, verified and resumable: python jobs/download.py ravdess --subset speech --dest DIR."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from emocore.cli import check_choice, run_job
from emocore.corpus.download import download
from emocore.corpus.ravdess_record import LICENCE, parse_actors, ravdess_archives
from emocore.corpus.server import Transfer
from emocore.corpus.unpack import check_apart, unpack
from emocore.pipeline.progress import megabytes


@dataclass(frozen=True, kw_only=True)
class Download:
    """Fetch the zips of a published corpus; they are read as they are, there is no need to unpack them.

    The same command continues where it stopped, and says so at once when all is there. Every zip is checked (size,
    MD5, the CRC of every member) before it gets its name. DIR/checksums.json keeps what was checked against; a file
    that was put into DIR by hand is checked and taken. Subsets, with their sizes for all actors: speech 0.2 GB,
    song 0.2 GB, video-speech 13.4 GB, video-song (the record says), facial-tracking 0.4 GB (OpenFace tables, no media).
    Videos are one zip an actor; the other subsets are one zip, fetched whole whoever is asked for. Actor 18 has no
    song.
    """

    corpus: Annotated[str, tyro.conf.Positional]
    """the corpus: ravdess"""
    dest: str
    """the folder for the zips"""
    subset: tuple[str, ...] = ("speech",)
    """one or more of speech, song, video-speech, video-song, facial-tracking"""
    actors: str = "1-24"
    """numbers and ranges, such as 1,3,5-8"""
    unpack: str = ""
    """also unpack the files of these actors into this folder; it must not lie inside DIR"""
    verify: bool = False
    """read all bytes again of zips that an earlier run has checked"""
    parallel: int = 4
    """files to fetch at once"""
    tries: int = 8
    """tries in a row, without a megabyte of progress, before giving up"""
    timeout_seconds: float = 60.0
    """seconds without a byte before a connection counts as cut"""


def main(options: Download) -> None:
    """Fetch, unpack where asked, and say what is there."""
    check_choice("The corpus", options.corpus, ["ravdess"])
    actors = parse_actors(options.actors)
    archives = ravdess_archives(options.subset, actors)
    if options.unpack:
        check_apart(options.dest, options.unpack)
    print(LICENCE, flush=True)
    transfer = Transfer(options.parallel, options.tries, options.timeout_seconds)
    done = download(archives, options.dest, transfer, verify=options.verify)
    state = f"fetched {done.fetched} of" if done.fetched else "was complete already:"
    print(f"{options.dest} {state} {len(done.files)} files, {megabytes(done.size)}, verified")
    if options.unpack:
        print(f"{options.unpack} has {unpack(done.files, options.unpack, actors):,} files of these actors")


if __name__ == "__main__":
    run_job(Download, main)

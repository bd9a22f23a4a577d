#!/usr/bin/env python3
"""The published recordings, verified and resumable: python jobs/download.py ravdess --subset speech --dest DIR."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from emocore.cli import check_choice, run_job
from emocore.corpora.catalogue import CORPORA
from emocore.corpora.corpus import Archive
from emocore.corpora.download.archives import download
from emocore.corpora.download.http import Transfer
from emocore.corpora.download.ravdess_record import parse_actors
from emocore.corpora.download.unpack import check_apart, unpack, whole_without_zip
from emocore.errors import amount
from emocore.progress import megabytes, say
from emocore.storage.folder import check_outlives_job


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
    """also unpack the files of these actors into this folder, and restore damaged ones; it must not lie inside DIR"""
    verify: bool = False
    """read all bytes again, of zips and of unpacked files; a zip that is gone is not fetched while the files that were
    unpacked from it are whole"""
    parallel: int = 4
    """files to fetch at once"""
    tries: int = 8
    """tries in a row, without a megabyte of progress, before giving up"""
    timeout_seconds: float = 60.0
    """seconds without a byte before a connection counts as cut"""


def main(options: Download) -> None:
    """Fetch, unpack where asked, and say what is there."""
    published = {name: corpus for name, corpus in CORPORA.items() if corpus.archives}
    check_choice("The corpus", options.corpus, list(published))
    corpus = published[options.corpus]
    actors = parse_actors(options.actors)
    archives = corpus.archives(options.subset, actors) if corpus.archives else []
    if options.unpack:
        check_outlives_job("--unpack", Path(options.unpack))
        check_apart(options.dest, options.unpack)
    say(f"{corpus.licence} Cite {corpus.citation}")
    kept = _whole_without_zip(options, archives, actors)
    needed = [archive for archive in archives if archive.name not in kept]
    files: tuple[Path, ...] = ()
    if needed:
        transfer = Transfer(options.parallel, options.tries, options.timeout_seconds)
        done = download(needed, options.dest, transfer, verify=options.verify)
        files = done.files
        state = f"fetched {done.fetched} of" if done.fetched else "was complete already:"
        say(f"{options.dest} {state} {amount(len(files), 'file')}, {megabytes(done.size)}, verified")
    if options.unpack:
        there = unpack(files, options.unpack, actors, verify=options.verify)
        restored = f", {there.restored:,} of them restored" if there.restored else ""
        say(f"{options.unpack} has {amount(there.files + sum(kept.values()), 'file')} of these actors{restored}")


def _whole_without_zip(options: Download, archives: Sequence[Archive], actors: Sequence[str]) -> dict[str, int]:
    """Return how many unpacked files each zip has that is gone and, as the user only wants to verify, is not needed."""
    if not (options.verify and options.unpack):
        return {}
    gone = [archive.name for archive in archives if not (Path(options.dest) / archive.name).exists()]
    kept = whole_without_zip(gone, options.unpack, actors)
    for name, files in kept.items():
        say(
            f"{name} is not in {options.dest}, but what was unpacked from it into {options.unpack} is whole "
            f"({amount(files, 'file')}); without --verify it is fetched"
        )
    return kept


if __name__ == "__main__":
    run_job(Download, main)

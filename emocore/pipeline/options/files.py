"""The options of every command that reads files."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from emocore.cli import check_max_failures, check_positive, check_seed

NOT_OF_THE_TABLES = ("retry_failed", "drop_gone")
FREE_OPTIONS = ("seconds_per_file", "exclude", "no_follow")  # may be others when a command goes on


@dataclass(frozen=True, kw_only=True)
class ArchiveOptions:
    """Which sound of a file is read, and what becomes of files that failed before, and of those that are gone."""

    sound_track: int | None = None
    """read the sound track of this number, from 1 on, of every file with sound; unless given the one that the file
    marks as its default, or else the first that can be heard"""

    retry_failed: bool = False
    """read the files again that failed in earlier runs, with the --seconds-per-file that is given now"""
    drop_gone: bool = False
    """take out the rows of files that are gone even where that is most of them; else it is refused, as storage may be
    missing"""

    def __post_init__(self) -> None:
        if self.sound_track is not None:
            check_positive("--sound-track", self.sound_track)


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How long a file may take, how many may fail, and the seed."""

    max_failures: int | None = None
    """stop with exit code 3 beyond so many failed files; no limit by default"""
    seconds_per_file: float = 600.0
    """time limit of one file, in seconds; beyond it the file is a failure"""
    exclude: Annotated[tuple[str, ...], tyro.conf.arg(metavar="GLOB …")] = ()
    """leave out files and folders of such names (*_noise.wav), or of such paths below the root (raw/*)"""
    no_follow: bool = False
    """leave out links; else they are followed, and those that lead out of what was named are counted"""
    tier: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME …")] = ()
    """annotations (RTTM, EAF, TextGrid, audformat): which tiers, or tables; the only one, or the only one of emotions,
    unless given"""
    seed: int = 0
    """seed of everything drawn at random; featurizing and labelling draw nothing, and record it"""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_max_failures(self.max_failures)
        check_positive("--seconds-per-file", self.seconds_per_file)

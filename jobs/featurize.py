#!/usr/bin/env python3
"""Media to feature tables: python jobs/featurize.py CORPUS… --out FEATURES."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from emocore.cli import check_positive, options_to_json, run_job
from emocore.errors import UserError, amount
from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.catalogue import find_family
from emocore.features.family import FeatureFamily, FrameInput, SoundInput
from emocore.features.pictures import PICTURES
from emocore.media.resize import DEFAULT_PIXELS, MAX_PIXELS_A_SIDE, MIN_PIXELS
from emocore.pipeline.options.corpus import CorpusOptions
from emocore.pipeline.options.cut import OF_THE_CUT, CutOptions
from emocore.pipeline.options.files import NOT_OF_THE_TABLES, ArchiveOptions
from emocore.pipeline.options.frames import SAMPLING, check_sampling, flag
from emocore.progress import say
from emocore.timeline import AS_FAMILIES_SAY


@dataclass(frozen=True, kw_only=True)
class Featurize(ArchiveOptions, CutOptions, CorpusOptions):
    """Read every clip of the corpora, and write typed feature tables."""

    corpora: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="CORPUS…")]
    """folders, zips, folders of zips, CSV and Parquet manifests, or annotations (RTTM, EAF, TextGrid, audformat)"""
    out: str
    """the FEATURES folder to write"""
    features: tuple[str, ...] = (ARTICLE.name,)
    """feature families of the sound: article, article-frames, or my_module:NAME of a module of your own"""
    mfcc: bool = False
    """keep the 157×39 MFCC frames of every clip too, which audio-conv1d reads (24 KB a clip): article-frames"""
    frames: bool = False
    """keep pictures of the films, and still images (JPEG, PNG, BMP), in grey"""
    every: int | None = None
    """which pictures: 20, unless given, takes those at frame indices 0, 20, 40 …"""
    frames_per_second: float | None = None
    """which pictures: so many a second of the film's own time instead, whatever its rate"""
    pixels: int | None = None
    """side of the pictures, 16 to 1024; 256 (64 KB each) unless given"""
    faces: bool = False
    """keep the largest face of each picture, cropped with a margin; the whole picture where none is found"""

    def __post_init__(self) -> None:
        ArchiveOptions.__post_init__(self)
        CorpusOptions.__post_init__(self)
        if self.every is not None:
            check_positive("--every", self.every)
        check_sampling(self.every, self.frames_per_second)
        told = {"--faces": self.faces or None, "--pixels": self.pixels}
        told |= {flag(name): getattr(self, name) for name in SAMPLING}
        option = next((name for name, value in told.items() if value is not None), None)
        if option and not self.frames:
            shown = option if option == "--faces" else f"{option} {told[option]}"
            raise UserError(f"{shown} says how pictures are kept, and none are: add --frames.")
        if PICTURES.name in self.features and not self.frames:
            raise UserError("--features pictures is kept where --frames says how: add --frames.")
        if self.pixels is not None and not MIN_PIXELS <= self.pixels <= MAX_PIXELS_A_SIDE:
            raise UserError(f"--pixels must be from {MIN_PIXELS} to {MAX_PIXELS_A_SIDE}: got {self.pixels}.")

    @property
    def families(self) -> list[FeatureFamily]:
        """What is computed."""
        names = dict.fromkeys([*self.features, *([ARTICLE_FRAMES.name] if self.mfcc else [])])
        found = [find_family(name) for name in names]
        found = [self.heard(family) if isinstance(family.reads, SoundInput) else family for family in found]
        if not self.frames:
            return found
        pictures = PICTURES.with_input(
            every=self.every or (FrameInput.every if self.frames_per_second is None else None),
            frames_per_second=self.frames_per_second,
            pixels=self.pixels or DEFAULT_PIXELS,
            faces=self.faces,
        )
        return [*(family for family in found if family.name != PICTURES.name), pictures]


def main(options: Featurize) -> None:
    """Featurize, and say what came of it."""
    # The work takes seconds to import: after the options are read.
    from emocore.corpora.leave_out import describe_passed_over  # noqa: PLC0415 - after the options were read
    from emocore.pipeline.featurize import featurize  # noqa: PLC0415 - after the options were read

    families = options.families
    how = options.how(families)
    beside = ("out", "max_failures", *NOT_OF_THE_TABLES, *(OF_THE_CUT if how == AS_FAMILIES_SAY else ()))
    listing = options.list(options.corpora, stills=options.frames)
    done = featurize(
        listing,
        options.out,
        families,
        options=options_to_json(options, leave_out=beside, paths=("corpora",)),
        seconds_per_file=options.seconds_per_file,
        sound_track=options.sound_track,
        max_failures=options.max_failures,
        archive_options=options,
        how=how,
    )
    state = "was finished already" if done.already_finished else "finished"
    say(f"{options.out} {state}: {amount(done.clips, 'clip')}, {amount(done.failures, 'failure')}")
    if listing.unlisted.passed_over:
        say(describe_passed_over(listing.unlisted.passed_over))


if __name__ == "__main__":
    run_job(Featurize, main)

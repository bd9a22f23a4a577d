"""What compare is told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from emocore.cli import check_seed
from emocore.errors import UserError


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What compare is told."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN RUN…")]
    """two or more finished RUN folders of evaluate (or train, tune), whose clips are partly the same"""
    out: str
    """the folder to write"""
    draws: int = 10_000
    """how often actors are drawn again"""
    seed: int = 0
    """seed of the draws"""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not 100 <= self.draws <= 1_000_000:
            raise UserError(f"--draws must be from 100 to 1,000,000: got {self.draws:,}.")
        if len(self.runs) < 2:
            raise UserError(f"{len(self.runs)} RUN given: name two or more folders to compare.")
        folders = [Path(run).resolve() for run in self.runs]
        twice = next((run for run, folder in zip(self.runs, folders, strict=True) if folders.count(folder) > 1), None)
        if twice:
            raise UserError(f"{twice} is given twice: name different RUN folders.")

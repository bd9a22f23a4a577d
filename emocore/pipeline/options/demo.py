"""What the demo is told."""

from dataclasses import dataclass

from emocore.cli import check_seed
from emocore.errors import UserError

ARCHIVE_ACTORS = 2


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the demo is told."""

    out: str
    """the folder to write"""
    actors: int = 8
    """actors of the labelled corpus, 4 to 22; two more are the archive to be labelled"""
    seed: int = 0
    """seed of everything drawn at random"""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not 4 <= self.actors <= 24 - ARCHIVE_ACTORS:
            raise UserError(f"--actors must be from 4 to {24 - ARCHIVE_ACTORS}: got {self.actors}.")

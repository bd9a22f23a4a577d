"""What label is told."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from emocore.errors import UserError
from emocore.pipeline.options.files import ArchiveOptions, FileOptions
from emocore.pipeline.options.frames import PictureOptions
from emocore.timeline import GridName, HowCut, how_cut


@dataclass(frozen=True, kw_only=True)
class LabelOptions(ArchiveOptions, PictureOptions, FileOptions):
    """What `label` is told."""

    media: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MEDIA…")]
    """folders, zips, media files, or manifests"""
    model: str
    """the RUN folder of a finished model, or face-cnn as it is shipped"""
    out: str
    """the LABELS folder to write"""
    grid: GridName | None = None
    """models that hear: speech: windows on stretches of speech, none of which holds a pause or parts of two; tiled:
    windows at even distances; speech unless given, and tiled with --no-vad"""
    window_seconds: float | None = None
    """how long a window is, and with --grid speech may be; as long as the model's features are made for (3.62 for the
    article's) unless given, and 4 for models of frames"""
    hop_seconds: float | None = None
    """from the begin of a window to the next, for --grid speech within a long stretch; half a window unless given, and
    a whole one for models of frames; rounded to a whole number of the features' own steps"""
    vad: bool = True
    """models that hear: windows without speech have a state and no answer; --no-vad: whatever is heard is answered
    for"""
    dry_run: bool = False
    """say how many files there are to read, how much media that is and about how long it takes, and write nothing"""
    gpus_per_worker: float | None = None
    """models of frames, audio-conv1d, audio-cnn: answer in processes of their own with so many GPUs each, a
    fraction where several share one; 0: without; files are read and answered for by the same processes unless given"""

    def __post_init__(self) -> None:
        ArchiveOptions.__post_init__(self)
        FileOptions.__post_init__(self)
        PictureOptions.__post_init__(self)
        gpus = self.gpus_per_worker
        if gpus is not None and not 0 <= gpus <= 1:
            raise UserError(f"--gpus-per-worker must be from 0 to 1: got {gpus}.")

    def how(self, sees: bool) -> HowCut:
        """Return how a recording is cut into windows. Raises UserError as `how_cut`."""
        return how_cut(self.grid, self.window_seconds, self.hop_seconds, vad=self.vad, sees=sees)

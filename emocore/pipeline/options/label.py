"""What label is told."""

from dataclasses import dataclass, fields
from typing import Annotated

import tyro

from emocore.errors import UserError
from emocore.pipeline.options.files import ArchiveOptions, FileOptions
from emocore.pipeline.options.frames import PictureOptions, flag
from emocore.timeline import ChannelsName, GridName, HowCut, how_cut

_OF_MEDIA = (
    *("sound_track", "retry_failed", "drop_gone", "seconds_per_file", "exclude", "no_follow"),
    *("grid", "vad", "channels"),
)


@dataclass(frozen=True, kw_only=True)
class LabelOptions(ArchiveOptions, PictureOptions, FileOptions):
    """What `label` is told."""

    media: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MEDIA…")]
    """folders, zips, media files, manifests, or annotations (RTTM, EAF, TextGrid, audformat), of the last two the
    segments that they name; or one FEATURES folder alone: its tables are answered for"""
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
    channels: ChannelsName = "mix"
    """models that hear: separate: the channels of a sound track are voices, as an agent's and a caller's, each of which
    is a track with windows and an answer of its own; mix: they are one sound"""
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

    def check_for_tables(self, folder: str, sees: bool) -> None:
        """Raise UserError for what is only said of media, where a folder of feature tables is given."""
        others = [path for path in self.media if path != folder]
        if others:
            raise UserError(f"{folder} holds feature tables, which are labelled alone: leave out {others[0]}.")
        of_media = _OF_MEDIA if sees else (*_OF_MEDIA, "window_seconds", "hop_seconds")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in of_media and value != field.default:
                words = [str(one) for one in (value if isinstance(value, tuple) else (value,)) if one is not True]
                told = "--no-vad" if field.name == "vad" else " ".join([flag(field.name), *words])
                raise UserError(
                    f"{told} says how media are read and cut, and {folder} holds what was made of them: leave it out."
                )
        if self.gpus_per_worker:
            raise UserError(
                f"--gpus-per-worker {self.gpus_per_worker:g} is for media, and feature tables are answered for on "
                "CPUs: leave it out."
            )

    def how(self, sees: bool) -> HowCut:
        """Return how a recording is cut into windows. Raises UserError as `how_cut`."""
        return how_cut(
            self.grid, self.window_seconds, self.hop_seconds, vad=self.vad, channels=self.channels, sees=sees
        )

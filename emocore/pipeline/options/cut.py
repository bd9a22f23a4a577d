"""How featurize cuts recordings into windows, where not as the families say."""

from collections.abc import Sequence
from dataclasses import dataclass

from emocore.errors import UserError
from emocore.features.family import FeatureFamily, SoundInput, check_window
from emocore.timeline import AS_FAMILIES_SAY, ChannelsName, GridName, HowCut, how_cut

OF_THE_CUT = ("grid", "window_seconds", "hop_seconds", "vad", "channels")


@dataclass(frozen=True, kw_only=True)
class CutOptions:
    """Windows over whole recordings, as `label` cuts them; none of these given: one a clip, as the families say."""

    grid: GridName | None = None
    """windows over the whole recording, as jobs/label.py has them, which then labels the tables: speech: on stretches
    of speech; tiled: at even distances; unless this or one of the next four is given a clip has one window, its first
    3.62 s for the article's features, by which models are trained"""
    window_seconds: float | None = None
    """how long a window is, and with --grid speech may be; as long as the features are made for unless given"""
    hop_seconds: float | None = None
    """from the begin of a window to the next; half a window unless given"""
    vad: bool = True
    """with windows over the whole recording: those without speech are told apart; --no-vad: nobody looks for speech"""
    channels: ChannelsName = "mix"
    """with windows over the whole recording: separate: the channels of a sound track are voices, each a track with
    windows of its own; mix: they are one sound"""

    def how(self, families: Sequence[FeatureFamily]) -> HowCut:
        """Return how recordings are cut for these families. Raises UserError."""
        told = {
            "--grid": self.grid,
            "--window-seconds": self.window_seconds,
            "--hop-seconds": self.hop_seconds,
            "--no-vad": "" if not self.vad else None,
            "--channels": self.channels if self.channels != "mix" else None,
        }
        option = next((name for name, value in told.items() if value is not None), None)
        if option is None:
            return AS_FAMILIES_SAY
        heard = [family for family in families if isinstance(family.reads, SoundInput)]
        if not heard:
            shown = f"{option} {told[option]}".strip()
            raise UserError(f"{shown} cuts sound, and no features of it are kept: leave it out.")
        check_window(heard, self.window_seconds)
        return how_cut(self.grid, self.window_seconds, self.hop_seconds, vad=self.vad, channels=self.channels)

"""A frame in grey where its samples are not what a screen shows: films in HDR, and interlaced ones.

**HDR.** Luma states light in cd/m², up to 10,000 (PQ: SMPTE ST 2084) or up to what the screen has (HLG: ARIB STD-B67;
both in ITU-R BT.2100). Taken for that of an ordinary film it is grey without contrast, and faces are washed out. Here a
table says for each sample what light it states, what of it a screen shows whose white is HDR's reference white, and at
which level an ordinary film has that light. Luma alone is looked at: for the colours of skin all three planes say the
same to within 3 levels.

**Interlaced.** A frame holds two moments, a row each in turn, and what moves has combs: one of them is shown. Frames
that only say so, and stand still, lose little: they are shrunk before a face is looked for.

`python tests/bench/light.py FER2013` measured both: of 400 faces in scenes of 720 × 576, those found, and those found
and told right by face-cnn.

                                        as an ordinary film      as here
    ordinary                            87.8 %   57.0 %          the same
    interlaced, still                   88.0 %   56.2 %          88.0 %   56.8 %
    2 pixels from field to field        88.5 %   57.0 %          87.5 %   54.8 %
    5 pixels                            86.5 %   52.5 %          88.0 %   55.8 %
    10 pixels                           82.0 %   46.8 %          87.8 %   57.5 %
    PQ, as bright as the ordinary one   82.0 %   50.2 %          87.0 %   55.0 %
    PQ, twice as bright                 84.5 %   52.0 %          87.0 %   58.0 %
    PQ, four times                      83.8 %   51.5 %          80.8 %   52.8 %
    HLG, as bright as the ordinary one  85.8 %   55.2 %          86.8 %   56.0 %
    HLG, twice as bright                87.0 %   57.2 %          86.5 %   56.0 %
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import ColorRange, ColorTrc, VideoReformatter
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Grey = NDArray[np.uint8]

REFERENCE_WHITE = 203.0  # cd/m², of HDR, and of an ordinary film that is shown in it: ITU-R BT.2408, 2.1 and 5.1
PEAK = 1_000.0  # cd/m², of HLG's nominal screen; films in PQ may state more, and it is as white
_SOFTNESS = 1.5  # of the knee; the report has 0.5
_SCREEN_GAMMA = 2.4  # ITU-R BT.1886: what an ordinary film is made for
_HLG_SYSTEM_GAMMA = 1.2  # of a screen of 1,000 cd/m²: BT.2100, table 5
_M1, _M2 = 2610 / 16384, 2523 / 32  # these five: ST 2084, and BT.2100, table 4
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073  # BT.2100, table 5
_TEN_BITS = ("yuv420p10le", "yuv422p10le", "yuv444p10le")  # all have the same first plane


def grey_of(frame: Any, stated: int, converter: VideoReformatter) -> Grey:
    """Return a frame as uint8[height, width]; `stated` is the transfer characteristic of a film whose frames have none.

    By way of BGR, as OpenCV reads films, so that pictures equal those of cv2.VideoCapture; but not in HDR, which that
    takes for an ordinary film, nor where a frame is interlaced.
    """
    transfer = stated if frame.color_trc == ColorTrc.UNSPECIFIED else int(frame.color_trc)
    grey = _grey_of_hdr(frame, transfer, converter) if is_hdr(transfer) else _grey_by_bgr(frame, converter)
    return one_field(grey) if frame.interlaced_frame else grey


def pq_light(signal: Floats) -> Floats:
    """Return the light in cd/m² of PQ's signals from 0 to 1: the EOTF of SMPTE ST 2084.

    >>> pq_light(np.array([0.0, 0.5, 1.0])).round(1).tolist()
    [0.0, 92.2, 10000.0]
    """
    power = signal ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def pq_signal(light: Floats) -> Floats:
    """Return PQ's signals from 0 to 1 of light in cd/m²: the inverse of `pq_light`."""
    power = (light / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def hlg_light(signal: Floats) -> Floats:
    """Return the light in cd/m² of HLG's signals from 0 to 1 on a screen of 1,000: the EOTF of ITU-R BT.2100.

    >>> hlg_light(np.array([0.0, 0.5, 0.75, 1.0])).round(1).tolist()
    [0.0, 50.7, 203.2, 1000.0]
    """
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)
    return np.asarray(PEAK * scene**_HLG_SYSTEM_GAMMA)


def shown_light(light: Floats) -> Floats:
    """Return what a screen of 203 cd/m² shows of light up to 1,000: the same below 14, and then ever less more.

    The EETF of Report ITU-R BT.2390: above a knee a Hermite spline between PQ's signals, which ends level. The knee
    is lower than there (1.5 · most − 0.5, 88 cd/m²): that left faces in the sun so white that 73 % were found, not 80.

    >>> shown_light(np.array([10.0, 203.0, 1000.0])).round().tolist()
    [10.0, 126.0, 203.0]
    """
    peak = pq_signal(np.array(PEAK))
    signal, most = np.minimum(pq_signal(light) / peak, 1), pq_signal(np.array(REFERENCE_WHITE)) / peak
    knee = (1 + _SOFTNESS) * most - _SOFTNESS
    t = (signal - knee) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return pq_light(np.where(signal < knee, signal, bent) * peak)


_LIGHT = {int(ColorTrc.SMPTE2084): pq_light, int(ColorTrc.ARIB_STD_B67): hlg_light}


def is_hdr(transfer: int) -> bool:
    """Whether a transfer characteristic (ITU-T H.273, 8.2) is one of HDR."""
    return transfer in _LIGHT


@lru_cache
def levels(transfer: int, is_full_range: bool) -> Grey:
    """Return the grey level uint8[65536] of each sample in HDR: of 10 bits, but OpenCV asks for a table of 16."""
    samples = np.arange(1024) / 1023 if is_full_range else (np.arange(1024) - 64) / 876  # BT.2100, table 9
    shown = shown_light(_LIGHT[transfer](samples.clip(0, 1)))
    grey = np.rint(255 * (shown / REFERENCE_WHITE).clip(0, 1) ** (1 / _SCREEN_GAMMA)).astype(np.uint8)
    return np.pad(grey, (0, 2**16 - 1024), mode="edge")


def _grey_of_hdr(frame: Any, transfer: int, converter: VideoReformatter) -> Grey:
    if frame.format.name not in _TEN_BITS:
        frame = converter.reformat(frame, format="yuv420p10le", threads=1)
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, plane.line_size // 2)
    table = levels(transfer, frame.color_range == ColorRange.JPEG)
    return np.asarray(cv2.LUT(rows[:, : plane.width], table), np.uint8)


def _grey_by_bgr(frame: Any, converter: VideoReformatter) -> Grey:
    plane = converter.reformat(frame, format="bgr24", threads=1).planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    bgr = rows[:, : 3 * plane.width].reshape(plane.height, plane.width, 3)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), np.uint8)


def one_field(grey: Grey) -> Grey:
    """Return uint8[height, width] whose odd rows, of another moment, are the mean of the even ones beside them.

    >>> one_field(np.array([[10], [90], [20], [90]], np.uint8)).ravel().tolist()
    [10, 15, 20, 20]
    """
    rows = grey[::2]
    whole = np.repeat(rows, 2, axis=0)[: len(grey)]
    if len(rows) > 1:
        whole[1:-1:2] = cv2.addWeighted(rows[:-1], 0.5, rows[1:], 0.5, 0)
    return whole

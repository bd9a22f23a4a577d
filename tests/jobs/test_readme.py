"""The limits that the README states are those of the code."""

import re
from pathlib import Path

from emocore.media import audio, container, source, stills, video
from emocore.pipeline.options.files import FileOptions

README = " ".join((Path(__file__).parents[2] / "README.md").read_text().split())


def test_a_file_is_too_large_where_the_readme_says_so():
    stated = README.split("a file is `too_large`: ")[1].split(". ")[0]
    numbers = {unit: int(number.replace(",", "")) for number, unit in re.findall(r"([0-9,]+) ([A-Za-z]+)", stated)}
    assert numbers == {
        "minutes": audio.MAX_SECONDS / 60,
        "million": audio.MAX_SAMPLES // 10**6,
        "pictures": video.MAX_PICTURES,
        "MiB": video.MAX_PICTURES_BYTES >> 20,
        "scans": stills.MAX_SCANS,
        "channels": audio.MAX_CHANNELS,
        "GiB": source.MAX_MEMBER_BYTES >> 30,
    }
    assert "256 MiB for a still" in stated and stills.MAX_STILL_BYTES == video.MAX_PICTURES_BYTES
    assert "million samples or pixels" in stated and container.MAX_PIXELS == audio.MAX_SAMPLES


def test_a_file_gets_the_time_that_the_readme_says():
    assert f"`--seconds-per-file` ({FileOptions().seconds_per_file:.0f} s)" in README


def test_every_kind_of_file_that_is_read_is_named():
    stated = README.split("are read without unpacking. Sound is read from ")[1].split(". Channels")[0]
    named = {f".{name}" for name in re.findall(r"[a-z0-9]+", stated)}
    assert source.MEDIA_SUFFIXES | source.STILL_SUFFIXES - {".jpeg"} <= named

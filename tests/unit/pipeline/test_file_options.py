"""The options of reading files: what is refused, in one sentence."""

import pytest
import tyro

from emocore.errors import UserError
from emocore.pipeline import label as labelling
from emocore.pipeline.label import LabelOptions
from emocore.pipeline.options.files import FREE_OPTIONS
from emocore.storage.files import write_json
from emocore.storage.folder import check_config


def options(**more):
    return LabelOptions(media=("a.wav",), model="RUN", out="L", **more)


@pytest.mark.parametrize("number", [0, -1])
def test_sound_tracks_count_from_1(number):
    assert options().sound_track is None and options(sound_track=2).sound_track == 2
    with pytest.raises(UserError, match=f"^--sound-track must be above 0: got {number}\\.$"):
        options(sound_track=number)


def test_the_time_of_a_file_may_be_another_on_a_finished_folder_and_the_help_says_so(tmp_path, capsys, monkeypatch):
    write_json(tmp_path / "config.json", labelling._config(options(), "hash"))
    others = [{"seconds_per_file": 900.0, "exclude": ("*_noise.wav",)}, {"no_follow": True}, {"retry_failed": True}]
    for other in [*others, {"drop_gone": True}, {"max_failures": 3}, {"gpus_per_worker": 0.5}]:
        assert check_config(tmp_path, labelling._config(options(**other), "hash"), FREE_OPTIONS)
    with pytest.raises(UserError, match=r"was made with options\.seed = 0, this command has 1"):
        check_config(tmp_path, labelling._config(options(seed=1), "hash"), FREE_OPTIONS)
    monkeypatch.setattr("sys.argv", ["label", "--help"])
    with pytest.raises(SystemExit):
        tyro.cli(LabelOptions)
    assert "with the --seconds-per-file that is given now" in " ".join(capsys.readouterr().out.split())

"""Options of models of frames: what is given reaches the network, and no other model takes them."""

import json
from dataclasses import dataclass

import pytest

from emocore.cli import options_to_json, parse
from emocore.errors import UserError
from emocore.features.family import FrameInput
from emocore.pipeline.options.frames import NetworkOptions, PictureOptions, check_read_by, given


@dataclass(frozen=True, kw_only=True)
class Job(NetworkOptions):
    """A job that has these options and no other."""


def options(text):
    return parse(Job, text.split())


def refused(call, *arguments):
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_nothing_is_given_by_default():
    assert given(options(""), NetworkOptions) == {} and options("").settings() == {}
    for model in ("svc", "audio-conv1d", "cnn", "transfer"):
        check_read_by(model, options(""), NetworkOptions)


def test_what_is_given_reaches_the_network():
    told = options(
        "--epochs 3 --steps-per-epoch auto --batch-size 8 --learning-rate 0.01 --patience 2 --output sigmoid "
        "--recipe fine-tune --workers 2 --gpus-per-worker 1"
    )
    assert told.settings() == {
        **{"epochs": 3, "steps_per_epoch": None, "batch_size": 8, "learning_rate": 0.01, "patience": 2},
        **{"output": "sigmoid", "recipe": "fine-tune", "workers": 2, "gpus_per_worker": 1},
    }
    assert options("--steps-per-epoch 7").settings() == {"steps_per_epoch": 7}
    assert options("--gpus-per-worker 0").settings() == {"gpus_per_worker": 0}


def test_pictures_are_those_asked_for_else_the_others():
    base = FrameInput(20, 48, True)
    assert options("").pictures(base) == base
    assert options("--every 5 --pixels 96").pictures(FrameInput()) == FrameInput(5, 96)
    assert options("--faces").pictures(FrameInput()) == FrameInput(faces=True)
    by_time = FrameInput(None, 48, frames_per_second=2.0)
    assert options("--frames-per-second 2").pictures(FrameInput(20, 48)) == by_time
    assert options("--pixels 48").pictures(FrameInput(None, frames_per_second=2.0)) == by_time
    assert options("--every 5").pictures(by_time) == FrameInput(5, 48)


@pytest.mark.parametrize(
    ("text", "model", "sentence"),
    [
        ("--epochs 3", "svc", "--epochs 3 is read by cnn, transfer, face-cnn, not by svc: leave it out."),
        ("--faces", "audio-conv1d", "--faces is read by cnn, transfer, face-cnn, not by audio-conv1d: leave it out."),
        ("--combine vote", "mlp", "--combine vote is read by cnn, transfer, face-cnn, not by mlp: leave it out."),
        (
            "--gpus-per-worker 0",
            "svc",
            "--gpus-per-worker 0 is read by cnn, transfer, face-cnn, not by svc: leave it out.",
        ),
        ("--recipe article", "cnn", "--recipe article is read by transfer, not by cnn: leave it out."),
        ("--base RUN", "face-cnn", "--base RUN is read by transfer, not by face-cnn: leave it out."),
    ],
)
def test_an_option_of_another_model(text, model, sentence):
    assert refused(check_read_by, model, options(text), NetworkOptions) == sentence


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--epochs 0", "--epochs must be at least 1: got 0."),
        ("--every -1", "--every must be at least 1: got -1."),
        ("--frames-per-second 0", "--frames-per-second must be above 0: got 0.0."),
        ("--frames-per-second inf", "--frames-per-second must be above 0: got inf."),
        (
            "--every 5 --frames-per-second 2",
            "--every 5 and --frames-per-second 2 both say which pictures are looked at: leave one out.",
        ),
        ("--workers 0", "--workers must be at least 1: got 0."),
        ("--pixels 8", "--pixels must be from 16 to 1024: got 8."),
        ("--steps-per-epoch 0", "--steps-per-epoch must be at least 1: got 0."),
        ("--learning-rate nan", "--learning-rate must be above 0: got nan."),
        ("--output relu", "relu"),
        ("--combine mean", "mean-log"),
        ("--gpus-per-worker 2", "2"),
    ],
)
def test_a_wrong_value(text, words):
    assert words in refused(options, text)


def test_options_come_back_from_a_config(tmp_path):
    told = options("--faces --epochs 2 --steps-per-epoch auto --combine vote")
    saved = {"options": options_to_json(told)}
    (tmp_path / "config.json").write_text(json.dumps(saved))
    assert options(f"--config {tmp_path}/config.json") == told


def test_a_config_that_takes_pictures_by_number_is_overruled_by_time(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"options": options_to_json(options("--every 5"))}))
    told = options(f"--config {tmp_path}/config.json --every None --frames-per-second 2")
    assert told.pictures(FrameInput()) == FrameInput(None, frames_per_second=2.0)


def test_pictures_alone_are_told_from_training():
    told = options("--every 5 --epochs 2")
    assert given(told, PictureOptions) == {"--every": 5}
    assert given(told, NetworkOptions) == {"--every": 5, "--epochs": 2}

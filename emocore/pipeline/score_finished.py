"""A finished model on everything given, without training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from emocore.datasets.examples import in_emotions
from emocore.datasets.leakage import check_unseen, unseen
from emocore.datasets.windows import answer_from
from emocore.errors import UserError
from emocore.features.family import FrameInput
from emocore.models.aggregation import tempered
from emocore.models.bundle import Bundle, bundle_folder, bundle_hash, known_clips, load_bundle, read_card
from emocore.models.catalogue import SHIPPED, is_model
from emocore.models.predictions import answer_clips
from emocore.pipeline.inputs import Data, heard_families, load_inputs
from emocore.pipeline.options.frames import NetworkOptions, PictureOptions, check_read_by, given
from emocore.pipeline.options.run import EvaluateOptions
from emocore.pipeline.run_folder import Outcome
from emocore.pipeline.training.folds import FoldResult
from emocore.pipeline.training.score_frames import check_network, finished_network, score_frames


def check_as_is(options: EvaluateOptions) -> str:
    """Return the hash of the finished model. Raises UserError where there is none, and for options of training."""
    if is_model(options.model) and options.model not in SHIPPED:
        raise UserError(f"Protocol 'as-is' tests a finished model: give --model a RUN folder, not {options.model!r}.")
    folder = bundle_folder(options.model)
    check_read_by(str(read_card(options.model)["model"]), options, NetworkOptions)
    weight = None if options.class_weight == "auto" else options.class_weight
    unused = {"--class-weight": weight, "--group-column": options.group_column}
    unused["--set"] = " ".join(options.set) or None
    looks = given(options, PictureOptions)
    unused |= {option: value for option, value in given(options, NetworkOptions).items() if option not in looks}
    for option, value in unused.items():
        if value is not None:
            raise UserError(f"{option} {value} changes nothing where nothing is trained: leave it out with 'as-is'.")
    return bundle_hash(folder)


def score_as_is(options: EvaluateOptions, model_hash: str, out: Path, data: Data) -> Outcome:
    """Return the model's answers for all clips that it was not trained on."""
    bundle = load_bundle(options.model)
    known = known_clips(bundle_folder(options.model))
    if bundle.spec.sees:
        return _score_seen(options, bundle, model_hash, known, out, data)
    families = heard_families(data, options, bundle.spec, {family.name: family for family in bundle.families})
    heard = in_emotions(load_inputs(data, out, options, options.channel, families, options.by_windows), bundle.emotions)
    check_unseen(known, heard.clips)
    rows = np.arange(heard.clips.num_rows)
    result = FoldResult(
        "as-is", rows, answer_from(bundle.probabilities, heard.x, heard.windows), bundle.temperature, {}, {}, None
    )
    return Outcome(bundle.model, "as-is", heard, [result], {"estimate": "test", "model_hash": model_hash})


def _score_seen(
    options: EvaluateOptions, bundle: Bundle, model_hash: str, known: pa.Table, out: Path, data: Data
) -> Outcome:
    if options.by_windows:
        raise UserError(f"--clips-from windows changes nothing for {bundle.model}, which sees: leave it out.")
    network = finished_network(options.model, bundle.model)
    check_network(network)
    assert isinstance(bundle.family.reads, FrameInput)
    pictures = replace(bundle.family, reads=options.pictures(bundle.family.reads))
    shown = in_emotions(load_inputs(data, out, options, options.channel, [pictures]), bundle.emotions)
    examples = unseen(known, shown)
    rows = np.arange(examples.clips.num_rows)
    frames = score_frames(examples, rows, network)
    names = examples.clips["clip"].to_pylist()
    answers = tempered(answer_clips(frames, names, options.combine or bundle.combine), bundle.temperature)
    result = FoldResult("as-is", rows, answers, bundle.temperature, {}, {}, None, frames)
    return Outcome(bundle.model, "as-is", examples, [result], {"estimate": "test", "model_hash": model_hash})

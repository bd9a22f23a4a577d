"""Label an archive: every file under the folders becomes a row in labels/ or in failures/."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tyro

from emocore.cli import options_to_json
from emocore.corpus.listing import Listing, list_media
from emocore.errors import UserError
from emocore.evaluation.report import render_labels
from emocore.features.stage import PLANNED, featurize_batch, inputs_of
from emocore.frame_examples import FRAMES
from emocore.labels import EMOTIONS
from emocore.media.reading import Reading
from emocore.models.answers import label_rows
from emocore.models.bundle import Bundle, FrameBundle, bundle_folder, bundle_hash, load_bundle, versions
from emocore.models.catalogue import SHIPPED
from emocore.outputs import output_folder, read_json, write_json, write_text
from emocore.pipeline import cluster
from emocore.pipeline.featurize import fingerprint, is_synthetic
from emocore.pipeline.frame_labelling import FrameAnswers
from emocore.pipeline.frame_labelling import label_shard as label_frames_shard
from emocore.pipeline.network_options import PictureOptions, check_read_by
from emocore.pipeline.options import FileOptions
from emocore.pipeline.planning import load_or_plan
from emocore.pipeline.scoring import check_network, finished_network
from emocore.pipeline.shards import (
    done_row,
    failure_rows,
    open_journal,
    run_shards,
    shard_file,
    write_failures,
    write_listing_failures,
)
from emocore.schema import FAILURES, LABELS, SCHEMA_VERSION, count_rows, read_tables_if_any, write_table

SUMMARY = "summary.json"


@dataclass(frozen=True, kw_only=True)
class LabelOptions(PictureOptions, FileOptions):
    """What `label` is told."""

    media: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MEDIA…")]
    """folders, zips, media files, or manifests"""
    model: str
    """the RUN folder of a finished model, or face-cnn as it is shipped"""
    out: str
    """the LABELS folder to write"""

    def __post_init__(self) -> None:
        FileOptions.__post_init__(self)
        PictureOptions.__post_init__(self)


@dataclass(frozen=True)
class Labelled:
    """A finished archive: summary.json, and whether an earlier call had finished it."""

    summary: dict[str, Any]
    already_finished: bool


class Labeller:
    """A model of sound that is loaded once a process, and labels one batch after the other."""

    def __init__(self, model_dir: str, model_hash: str) -> None:
        bundle = load_bundle(model_dir)
        assert isinstance(bundle, Bundle)
        self.bundle = bundle
        if bundle_hash(Path(model_dir)) != model_hash:
            raise UserError(f"{model_dir} changed while it was in use: label with a finished model.")

    def __call__(self, featurized: pa.Table) -> pa.Table:
        """Return LABELS rows for FEATURIZED rows without faults; a state other than ok has a null answer."""
        heard = pc.equal(featurized["state"], "ok").to_numpy(zero_copy_only=False)
        probabilities = np.zeros((featurized.num_rows, len(EMOTIONS)))
        if heard.any():
            x = inputs_of(featurized.filter(pa.array(heard)), self.bundle.classifier.inputs)
            probabilities[heard] = self.bundle.probabilities(x)
        return label_rows(featurized, probabilities, heard, featurized["state"].to_pylist())


_labeller = lru_cache(maxsize=1)(Labeller)


def label_shard(shard: pa.Table, model_dir: str, model_hash: str, out: Path, reading: Reading) -> pa.Table:
    """Decode, predict and commit one shard: its file in labels/ comes last."""
    labeller = _labeller(model_dir, model_hash)
    journal = open_journal(shard, out, reading.seconds_per_file)
    table = featurize_batch(shard.select(PLANNED.names), labeller.bundle.features, reading, journal.guard)
    failures = failure_rows(table, journal.deaths)
    write_failures(failures, shard, out)
    labels = labeller(table.filter(pc.is_null(table["reason"])))
    write_table(labels, shard_file(out / "labels", shard))
    journal.forget()
    return done_row(shard, failures.num_rows)


def label(options: LabelOptions) -> Labelled:
    """Label every supported file under MEDIA, and write the LABELS folder. Raises UserError, TooManyFailures."""
    if not options.media:
        raise UserError("No MEDIA given: name at least one folder, zip, media file or manifest.")
    bundle = load_bundle(options.model)
    check_read_by(bundle.model, options, PictureOptions)
    listing = list_media(options.media, stills=isinstance(bundle, FrameBundle))
    model_hash = bundle_hash(bundle_folder(options.model))
    paths = ("media",) if options.model in SHIPPED else ("media", "model")
    config = {
        "command": "label",
        "options": options_to_json(options, leave_out=("out", "max_failures"), paths=paths),
        "data": fingerprint(listing),
        "model_hash": model_hash,
        "schema_version": SCHEMA_VERSION,
    }
    with output_folder(options.out, config, SUMMARY) as folder:
        if not folder.finished:
            started = time.monotonic()
            cluster.connect()
            write_listing_failures(listing.failures, folder.path)
            stage, reading, arguments = _stage(options, bundle, model_hash)
            run_shards(
                load_or_plan(listing.clips, folder.path, reading),
                folder.path,
                "labels",
                stage,
                max_failures=options.max_failures,
                reading=reading,
                **arguments,
            )
            _conclude(folder.path, options, listing, bundle, model_hash, time.monotonic() - started)
        return Labelled(read_json(folder.path / SUMMARY), folder.finished)


def _stage(
    options: LabelOptions, bundle: Bundle | FrameBundle, model_hash: str
) -> tuple[Callable[..., pa.Table], Reading, dict[str, Any]]:
    """Return what labels a shard, what it reads of a file, and what it is told beside these."""
    if isinstance(bundle, FrameBundle):
        pictures = options.pictures(bundle.reading).to_json()
        network = finished_network(options.model, bundle.model)
        check_network(network)
        answers = FrameAnswers(network, options.combine or bundle.combine, bundle.temperature)
        reading = Reading(**pictures, sound=False, seconds_per_file=options.seconds_per_file)
        return label_frames_shard, reading, {"answers": answers}
    model_dir = str(bundle_folder(options.model))
    reading = Reading(seconds_per_file=options.seconds_per_file)
    return label_shard, reading, {"model_dir": model_dir, "model_hash": model_hash}


def _conclude(
    out: Path,
    options: LabelOptions,
    listing: Listing,
    bundle: Bundle | FrameBundle,
    model_hash: str,
    seconds: float,
) -> None:
    labels = read_tables_if_any(out / "labels", LABELS)
    failures = read_tables_if_any(out / "failures", FAILURES)
    summary = {
        "files": labels.num_rows + failures.num_rows,
        "labels": labels.num_rows,
        "failures": failures.num_rows,
        "failures_by_reason": dict(Counter(failures["reason"].to_pylist()).most_common()),
        "states": dict(Counter(labels["state"].to_pylist()).most_common()),
        "predicted": dict(Counter(value for value in labels["predicted"].to_pylist() if value).most_common()),
        **(_seen(out, options, bundle) if isinstance(bundle, FrameBundle) else {}),
        "model": bundle.model,
        "model_hash": model_hash,
        "seconds": round(seconds, 2),
        "versions": versions(),
    }
    page = {
        **options_to_json(options),
        "model": bundle.model,
        "trained_on": bundle.card.get("corpus", []),
        "synthetic": is_synthetic(listing) or bool(bundle.card.get("synthetic")),
        "versions": versions(),
    }
    write_text(out / "report.html", render_labels(page, summary, labels, failures))
    write_json(out / SUMMARY, summary)


def _seen(out: Path, options: LabelOptions, bundle: FrameBundle) -> dict[str, Any]:
    """Return how many frames were answered for, which they are, and how they answered together."""
    reading = options.pictures(bundle.reading).to_json()
    return {"frames": count_rows(out / FRAMES), "reading": reading, "combine": options.combine or bundle.combine}

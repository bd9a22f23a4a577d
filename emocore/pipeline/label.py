"""Label an archive: every file under the folders becomes a row in labels/ or in failures/."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tyro

from emocore.cli import command_line, options_to_json
from emocore.corpora.catalogue import licences
from emocore.corpora.listing import check_media, failure_table, walk_media
from emocore.corpora.scan import Row
from emocore.corpora.synthetic.notice import is_synthetic
from emocore.datasets.frames import FRAMES
from emocore.errors import UserError
from emocore.features.extract import inputs_of
from emocore.features.family import FeatureConfig
from emocore.labels import EMOTIONS
from emocore.media.reading import Reading
from emocore.models.bundle import Bundle, FrameBundle, bundle_folder, bundle_hash, load_bundle
from emocore.models.catalogue import SHIPPED, inputs_of_model
from emocore.models.predictions import label_rows
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.dry_run import describe_run
from emocore.pipeline.archive.stage import TIMINGS, TIMINGS_FOLDER, Stage
from emocore.pipeline.archive.update import Update
from emocore.pipeline.label_frames import FrameLabelling
from emocore.pipeline.options.files import FREE_OPTIONS, NOT_OF_THE_TABLES, ArchiveOptions, FileOptions
from emocore.pipeline.options.frames import PictureOptions, check_read_by
from emocore.pipeline.training.score_frames import finished_network
from emocore.reports.labels import count_labels, summarize_timings
from emocore.reports.pages import render_labels
from emocore.schema import FAILURES, LABELS, SCHEMA_VERSION
from emocore.storage.folder import check_config, output_folder
from emocore.storage.local import read_json, write_json, write_text
from emocore.storage.tables import count_rows, each_table, read_tables_if_any
from emocore.versions import versions

SUMMARY = "summary.json"
NOT_OF_THE_ANSWERS = ("out", "max_failures", "dry_run", "gpus_per_worker", *NOT_OF_THE_TABLES)


@dataclass(frozen=True, kw_only=True)
class LabelOptions(ArchiveOptions, PictureOptions, FileOptions):
    """What `label` is told."""

    media: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MEDIA…")]
    """folders, zips, media files, or manifests"""
    model: str
    """the RUN folder of a finished model, or face-cnn as it is shipped"""
    out: str
    """the LABELS folder to write"""
    dry_run: bool = False
    """say how many files there are to read, how much media that is and about how long it takes, and write nothing"""
    gpus_per_worker: float | None = None
    """models of frames, audio-conv1d: answer in processes of their own with so many GPUs each, a fraction where
    several share one; 0: without; files are read and answered for by the same processes unless given"""

    def __post_init__(self) -> None:
        FileOptions.__post_init__(self)
        PictureOptions.__post_init__(self)
        gpus = self.gpus_per_worker
        if gpus is not None and not 0 <= gpus <= 1:
            raise UserError(f"--gpus-per-worker must be from 0 to 1: got {gpus}.")


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


@dataclass(frozen=True)
class SoundLabelling:
    """A model of sound answers for clips."""

    model_dir: str
    model_hash: str
    features: FeatureConfig
    reading: Reading
    name: ClassVar[str] = "label"
    main: ClassVar[str] = "labels"
    by_clip: ClassVar[tuple[str, ...]] = ()

    def load(self) -> None:
        """Load the model, where this process has not."""
        _labeller(self.model_dir, self.model_hash)

    def pictures(self, file: Path) -> AbstractContextManager[None]:  # noqa: ARG002 - a model of sound sees nothing
        """Take in nothing."""
        return nullcontext()

    def tables(self, good: pa.Table, sink: None) -> Iterator[tuple[str, pa.Table]]:  # noqa: ARG002 - as above
        """Yield the labels."""
        yield self.main, _labeller(self.model_dir, self.model_hash)(good)


def label(options: LabelOptions) -> Labelled:
    """Label every supported file under MEDIA, and write the LABELS folder. Raises UserError, TooManyFailures.

    Called again, it labels what is new or has changed since, and leaves out what is gone.
    """
    bundle, model_hash = _checked(options)
    stills = isinstance(bundle, FrameBundle)
    config = _config(options, model_hash)
    with output_folder(options.out, config, SUMMARY, FREE_OPTIONS) as folder, Archive(folder.path) as archive:
        started = time.monotonic()
        failures: list[Row] = []

        def listed() -> Iterator[tuple[Row, Iterator[str]]]:
            failures.clear()
            return walk_media(options.media, failures, stills=stills, exclude=options.exclude)

        stage = _stage(options, bundle, model_hash)
        update = Update(stage, folder.path, SUMMARY, options, options.max_failures, options.gpus_per_worker)
        changed = update.run(archive, listed, lambda: failure_table(failures))
        if changed or not folder.finished:
            _conclude(folder.path, options, archive, bundle, model_hash, time.monotonic() - started)
        return Labelled(read_json(folder.path / SUMMARY), not changed and folder.finished)


def dry_run(options: LabelOptions) -> list[str]:
    """Return in words what `label` would do. Raises UserError."""
    bundle, model_hash = _checked(options)
    check_config(Path(options.out), _config(options, model_hash), FREE_OPTIONS)
    stage = _stage(options, bundle, model_hash)
    listed = walk_media(options.media, [], stills=isinstance(bundle, FrameBundle), exclude=options.exclude)
    return describe_run(stage, Path(options.out), listed, retry_failed=options.retry_failed, seed=options.seed)


def _checked(options: LabelOptions) -> tuple[Bundle | FrameBundle, str]:
    """Return the bundle, and the hash of its files."""
    if not options.media:
        raise UserError("No MEDIA given: name at least one folder, zip, media file or manifest.")
    bundle = load_bundle(options.model)
    check_read_by(bundle.model, options, PictureOptions)
    check_media(options.media, stills=isinstance(bundle, FrameBundle))
    if options.gpus_per_worker and inputs_of_model(bundle.model) == "columns":
        raise UserError(
            f"--gpus-per-worker {options.gpus_per_worker:g} changes nothing for {bundle.model}, which computes on "
            "CPUs: leave it out."
        )
    return bundle, bundle_hash(bundle_folder(options.model))


def _config(options: LabelOptions, model_hash: str) -> dict[str, Any]:
    paths = ("media",) if options.model in SHIPPED else ("media", "model")
    return {
        "command": "label",
        "options": options_to_json(options, leave_out=NOT_OF_THE_ANSWERS, paths=paths),
        "model_hash": model_hash,
        "schema_version": SCHEMA_VERSION,
    }


def _stage(options: LabelOptions, bundle: Bundle | FrameBundle, model_hash: str) -> Stage:
    """Return what labels a shard."""
    if isinstance(bundle, FrameBundle):
        pictures = options.pictures(bundle.reading).to_json()
        network = finished_network(options.model, bundle.model)
        reading = Reading(**pictures, sound=False, seconds_per_file=options.seconds_per_file)
        return FrameLabelling(network, options.combine or bundle.combine, bundle.temperature, reading, FeatureConfig())
    reading = Reading(seconds_per_file=options.seconds_per_file)
    return SoundLabelling(str(bundle_folder(options.model)), model_hash, bundle.features, reading)


def _conclude(
    out: Path,
    options: LabelOptions,
    archive: Archive,
    bundle: Bundle | FrameBundle,
    model_hash: str,
    seconds: float,
) -> None:
    """Count what the tables hold, a shard at a time, and write the report and, last, the summary."""
    counts = count_labels(each_table(out / "labels", LABELS))
    timings = summarize_timings(each_table(out / TIMINGS_FOLDER, TIMINGS))
    failures = read_tables_if_any(out / "failures", FAILURES)
    summary = {
        "files": counts.files + failures.num_rows,
        "labels": counts.files,
        "failures": failures.num_rows,
        "failures_by_reason": dict(Counter(failures["reason"].to_pylist()).most_common()),
        "states": dict(counts.states.most_common()),
        "predicted": dict(counts.predicted.most_common()),
        **(_seen(out, options, bundle) if isinstance(bundle, FrameBundle) else {}),
        "model": bundle.model,
        "model_hash": model_hash,
        "seconds": round(seconds, 2),
        "versions": versions(),
    }
    page = {
        "command": command_line("jobs/label.py", options),
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **options_to_json(options),
        "model": bundle.model,
        "licences": licences(bundle.card.get("corpus", [])),
        "synthetic": is_synthetic(archive.paths()) or bool(bundle.card.get("synthetic")),
        "versions": versions(),
    }
    write_text(out / "report.html", render_labels(page, summary, counts, failures, timings))
    write_json(out / SUMMARY, summary)


def _seen(out: Path, options: LabelOptions, bundle: FrameBundle) -> dict[str, Any]:
    """Return how many frames were answered for, which they are, and how they answered together."""
    reading = options.pictures(bundle.reading).to_json()
    return {"frames": count_rows(out / FRAMES), "reading": reading, "combine": options.combine or bundle.combine}

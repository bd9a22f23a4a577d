"""Label an archive: every file under the folders becomes a row in labels/ or in failures/."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emocore.cli import command_line, options_to_json
from emocore.corpora.catalogue import licences
from emocore.corpora.leave_out import LeaveOut, Unlisted, describe_passed_over
from emocore.corpora.listing import check_media, failure_table, walk_media
from emocore.corpora.scan import Row
from emocore.corpora.synthetic.notice import is_synthetic
from emocore.datasets.examples import check_finished, is_features, read_manifest
from emocore.errors import UserError, amount
from emocore.features.clock import begins_of
from emocore.features.extract import reading_of
from emocore.features.family import FeatureFamily, FrameInput, check_window
from emocore.models.bundle import Bundle, load_bundle, open_bundle
from emocore.models.catalogue import SHIPPED
from emocore.pipeline.archive import here
from emocore.pipeline.archive.database import Archive
from emocore.pipeline.archive.dry_run import describe_run
from emocore.pipeline.archive.stage import TIMINGS, TIMINGS_FOLDER
from emocore.pipeline.archive.update import Update
from emocore.pipeline.feature_tables import FeatureTables, open_tables
from emocore.pipeline.label_features import describe_tables, update_labels
from emocore.pipeline.label_stage import BundlePlace, Labelling
from emocore.pipeline.options.files import FREE_OPTIONS, NOT_OF_THE_TABLES
from emocore.pipeline.options.frames import PictureOptions, check_read_by
from emocore.pipeline.options.label import LabelOptions
from emocore.pipeline.training.score_frames import NetworkPlace, finished_network
from emocore.progress import say
from emocore.reports.curves import curves_of
from emocore.reports.labels import count_labels, summarize_timings
from emocore.schema import FAILURES, LABELS, SCHEMA_VERSION, WINDOWS, of_emotions
from emocore.storage.files import read_json, write_json, write_text
from emocore.storage.folder import FRAMES_FOLDER, WINDOWS_FOLDER, check_config, output_folder, tables_lock
from emocore.storage.tables import count_rows, each_table, read_tables_if_any
from emocore.timeline import AS_FAMILIES_SAY, how_cut
from emocore.versions import versions

SUMMARY = "summary.json"
NOT_OF_THE_ANSWERS = ("out", "max_failures", "dry_run", "gpus_per_worker", *NOT_OF_THE_TABLES)


@dataclass(frozen=True)
class Labelled:
    """A finished archive: summary.json, and whether an earlier call had finished it."""

    summary: dict[str, Any]
    already_finished: bool


def prepare(model: str, *media: str) -> None:
    """Load in this process what labelling media by this model takes. Raises UserError where it cannot be loaded."""
    bundle = open_bundle(model)
    if any(map(is_features, media)):
        _place(model, bundle).load()
        return
    how = how_cut(None, None, None, vad=True, sees=bundle.spec.sees)
    Labelling(_place(model, bundle), bundle.families, reading_of(bundle.families), how).load()


def label(options: LabelOptions) -> Labelled:
    """Label every supported file under MEDIA, and write the LABELS folder. Raises UserError, TooManyFailures.

    Called again, it labels what is new or has changed since, and leaves out what is gone. Where MEDIA is a FEATURES
    folder its tables are answered for.
    """
    bundle = _checked(options)
    stills = bundle.spec.sees
    config = _config(options, bundle.hash)
    # A model that cannot be loaded is refused before a folder is claimed.
    if not (Path(options.out) / SUMMARY).exists() and not here.wait_prepared() and not bundle.spec.sees:
        load_bundle(options.model)
    if any(map(is_features, options.media)):
        return _label_tables(options, bundle, config)
    with output_folder(options.out, config, SUMMARY, FREE_OPTIONS) as folder, Archive(folder.path) as archive:
        started = time.monotonic()
        failures: list[Row] = []
        leave_out = _leave_out(options)

        def listed() -> Iterator[tuple[Row, Iterator[str]]]:
            failures.clear()
            leave_out.restart()
            return walk_media(options.media, failures, stills=stills, leave_out=leave_out, tiers=options.tier)

        stage = _stage(options, bundle)
        update = Update(stage, folder.path, SUMMARY, options, options.max_failures, options.gpus_per_worker)
        changed = update.run(archive, listed, lambda: failure_table(failures))
        unlisted = leave_out.unlisted.to_json()
        if changed or not folder.finished or not unlisted.items() <= read_json(folder.path / SUMMARY).items():
            synthetic = is_synthetic(archive.paths())
            _conclude(folder.path, options, bundle, unlisted, time.monotonic() - started, synthetic=synthetic)
        return Labelled(read_json(folder.path / SUMMARY), not changed and folder.finished)


def _label_tables(options: LabelOptions, bundle: Bundle, config: dict[str, Any]) -> Labelled:
    """Answer for the tables of a FEATURES folder, which stay as they are meanwhile."""
    with tables_lock(options.media), output_folder(options.out, config, SUMMARY) as folder:
        started = time.monotonic()
        tables, manifest = _tables(options, bundle), read_manifest(options.media[0])
        stage = _stage_of_tables(options, bundle, tables)
        if tables.how == AS_FAMILIES_SAY and not bundle.spec.sees:
            say(f"{options.media[0]} holds one window a clip, by which alone it is answered for: see featurize --grid")
        changed = update_labels(stage, tables, folder.path, SUMMARY, options.max_failures)
        if changed or not folder.finished:
            unlisted = {name: manifest.get(name, nothing) for name, nothing in Unlisted().to_json().items()}
            facts = {**unlisted, "how": asdict(tables.how)}
            synthetic = bool(manifest.get("synthetic"))
            _conclude(folder.path, options, bundle, facts, time.monotonic() - started, synthetic=synthetic)
        return Labelled(read_json(folder.path / SUMMARY), not changed and folder.finished)


def dry_run(options: LabelOptions) -> list[str]:
    """Return in words what `label` would do. Raises UserError."""
    bundle = _checked(options)
    check_config(Path(options.out), _config(options, bundle.hash), FREE_OPTIONS)
    if any(map(is_features, options.media)):
        tables = _tables(options, bundle)
        return describe_tables(_stage_of_tables(options, bundle, tables), tables, Path(options.out))
    stage = _stage(options, bundle)
    leave_out = _leave_out(options)
    stills = bundle.spec.sees
    listed = walk_media(options.media, [], stills=stills, leave_out=leave_out, tiers=options.tier)
    lines = describe_run(stage, Path(options.out), listed, retry_failed=options.retry_failed, seed=options.seed)
    passed_over = leave_out.unlisted.passed_over
    return [*lines, describe_passed_over(passed_over)] if passed_over else lines


def _leave_out(options: LabelOptions) -> LeaveOut:
    return LeaveOut(options.exclude, no_follow=options.no_follow)


def _checked(options: LabelOptions) -> Bundle:
    """Return the bundle, where the options fit it. Raises UserError."""
    if not options.media:
        raise UserError("No MEDIA given: name at least one folder, zip, media file or manifest.")
    bundle = open_bundle(options.model)
    check_read_by(bundle.model, options, PictureOptions)
    for path in options.media:
        check_finished(path)
    folder = next(filter(is_features, options.media), None)
    if folder is not None:
        options.check_for_tables(folder, bundle.spec.sees)
        _tables(options, bundle)
        return bundle
    check_media(options.media, stills=bundle.spec.sees)
    options.how(bundle.spec.sees)
    check_window([] if bundle.spec.sees else bundle.families, options.window_seconds)
    if options.sound_track and bundle.spec.sees:
        raise UserError(
            f"--sound-track {options.sound_track} chooses a sound, and {bundle.model} listens to none: leave it out."
        )
    if options.gpus_per_worker and bundle.spec.answers_on == "cpu":
        raise UserError(
            f"--gpus-per-worker {options.gpus_per_worker:g} changes nothing for {bundle.model}, which computes on "
            "CPUs: leave it out."
        )
    return bundle


def _tables(options: LabelOptions, bundle: Bundle) -> FeatureTables:
    return open_tables(options.media[0], _families(options, bundle))


def _config(options: LabelOptions, model_hash: str) -> dict[str, Any]:
    paths = ("media",) if options.model in SHIPPED else ("media", "model")
    return {
        "command": "label",
        "options": options_to_json(options, leave_out=NOT_OF_THE_ANSWERS, paths=paths),
        "model_hash": model_hash,
        "schema_version": SCHEMA_VERSION,
    }


def _stage(options: LabelOptions, bundle: Bundle) -> Labelling:
    """Return what labels a shard."""
    families = _families(options, bundle)
    reading = reading_of(families, options.seconds_per_file, options.sound_track)
    told = (_place(options.model, bundle), families, reading, options.how(bundle.spec.sees), bundle.emotions)
    if not bundle.spec.sees:
        return Labelling(*told)
    return Labelling(*told, options.combine or bundle.combine, bundle.temperature)


def _stage_of_tables(options: LabelOptions, bundle: Bundle, tables: FeatureTables) -> Labelling:
    """Return what labels a part of tables, whose voices are those that the tables hold."""
    stage = _stage(options, bundle)
    return replace(stage, how=replace(stage.how, channels=tables.how.channels))


def _place(model: str, bundle: Bundle) -> BundlePlace | NetworkPlace:
    if bundle.spec.sees:
        return finished_network(model, bundle.model)
    return BundlePlace(str(bundle.folder), bundle.hash)


def _families(options: LabelOptions, bundle: Bundle) -> tuple[FeatureFamily, ...]:
    """Return what the model reads: what its bundle says, and other frames where they were asked for."""
    if not isinstance(bundle.family.reads, FrameInput):
        return bundle.families
    return (replace(bundle.family, reads=options.pictures(bundle.family.reads)),)


def _conclude(
    out: Path,
    options: LabelOptions,
    bundle: Bundle,
    facts: dict[str, Any],
    seconds: float,
    *,
    synthetic: bool,
) -> None:
    """Count what the tables hold, a shard at a time, and write the report and, last, the summary.

    `facts`: what was listed and what was not; `synthetic`: whether it says of itself that it is generated.
    """
    from emocore.reports.pages import render_labels  # noqa: PLC0415 - a second, which workers need not wait for

    counts = count_labels(each_table(out / "labels", of_emotions(LABELS, bundle.emotions)))
    timings = summarize_timings(each_table(out / TIMINGS_FOLDER, TIMINGS))
    failures = read_tables_if_any(out / "failures", FAILURES)
    unanswered = counts.windows - count_rows(out / WINDOWS_FOLDER)
    if unanswered:
        say(f"{amount(unanswered, 'window')} left out: their features, or the answers for them, were no numbers")
    summary = {
        "files": counts.files + failures.num_rows,
        "labels": counts.files,
        "failures": failures.num_rows,
        "failures_by_reason": dict(Counter(failures["reason"].to_pylist()).most_common()),
        **facts,
        "states": dict(counts.states.most_common()),
        "windows_left_out": unanswered,
        "predicted": dict(counts.predicted.most_common()),
        "media_seconds": round(counts.media_seconds, 2),
        "seconds_by_emotion": {name: round(seconds, 2) for name, seconds in counts.seconds.most_common()},
        **(_seen(out, options, bundle) if bundle.spec.sees else {}),
        "model": bundle.model,
        "model_hash": bundle.hash,
        "seconds": round(seconds, 2),
        "versions": versions(),
    }
    windows = each_table(out / WINDOWS_FOLDER, of_emotions(WINDOWS, bundle.emotions))
    longest = counts.longest
    begins = begins_of(longest.paths)
    curves = curves_of(windows, longest.durations, begins, bundle.emotions) if longest.durations else []
    page = _page(options, bundle, synthetic=synthetic)
    write_text(out / "report.html", render_labels(page, summary, counts, failures, timings, curves))
    write_json(out / SUMMARY, summary)


def _page(options: LabelOptions, bundle: Bundle, *, synthetic: bool) -> dict[str, Any]:
    """Return what the page says of the command and the model."""
    return {
        "command": command_line("jobs/label.py", options),
        "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **options_to_json(options),
        "model": bundle.model,
        "licences": licences(bundle.card.get("corpus", [])),
        "synthetic": synthetic or bool(bundle.card.get("synthetic")),
        "versions": versions(),
    }


def _seen(out: Path, options: LabelOptions, bundle: Bundle) -> dict[str, Any]:
    """Return how many frames were answered for, which they are, and how they answered together."""
    (family,) = _families(options, bundle)
    reading = family.to_json()["reads"]
    return {"frames": count_rows(out / FRAMES_FOLDER), "reading": reading, "combine": options.combine or bundle.combine}

"""The whole path on a generated corpus: featurize, train, evaluate on unseen actors, label an archive."""

from pathlib import Path
from typing import Any

import ray
from rich.console import Console
from rich.table import Table

from emocore.cli import options_to_json
from emocore.corpora.listing import list_corpora
from emocore.corpora.synthetic.corpus import ClipPlan, DemoSettings, plan, write_clip, write_notice, write_recording
from emocore.errors import amount
from emocore.features.article import ARTICLE
from emocore.features.pictures import PICTURES
from emocore.pipeline import cluster
from emocore.pipeline.featurize import featurize
from emocore.pipeline.label import label
from emocore.pipeline.options.demo import ARCHIVE_ACTORS, DemoOptions
from emocore.pipeline.options.label import LabelOptions
from emocore.pipeline.options.run import EvaluateOptions, TrainOptions
from emocore.pipeline.runs import evaluate, train
from emocore.progress import Counter
from emocore.reports.summary import label_line
from emocore.schema import SCHEMA_VERSION
from emocore.storage.files import write_json, write_text
from emocore.storage.folder import output_folder

_HEARING = ("svc", "random-forest")
_SEEING = "cnn"
_FAMILIES = (ARTICLE, PICTURES.with_input(every=10, pixels=48))  # small, and many: the corpus is
_EPOCHS = 15
RECORDING = "recording.wav"  # of a minute, in the archive
_SCORED_ON = {"test": "each actor in turn", "validation": "validation actors"}
_CHUNK = 5


def run_demo(options: DemoOptions) -> Path:
    """Do it all below `options.out`, show a table, and return the path of the evaluation's report."""
    config = {
        "command": "demo",
        "options": options_to_json(options, leave_out=("out",)),
        "schema_version": SCHEMA_VERSION,
    }
    with output_folder(options.out, config, "demo.json") as folder:
        out = folder.path
        corpus, archive = out / "corpus", out / "archive"
        if not (archive / "broken.wav").exists():
            _generate(options, corpus, archive)
        features = str(out / "features")
        listing = list_corpora([corpus])
        featurize(listing, features, _FAMILIES, options={"seed": options.seed})
        rows = [_evaluate(model, features, out, options.seed) for model in _HEARING]
        trained = {
            model: _train_and_label(model, features, archive, out, options.seed) for model in (_HEARING[0], _SEEING)
        }
        labels = {model: summary for model, (_, summary) in trained.items()}
        rows.append(trained[_SEEING][0])  # it takes longer: measured once, on the actors that chose its epoch
        write_json(out / "demo.json", {"evaluations": rows, "labels": labels})
        _show(rows, labels)
        return Path(options.out) / f"evaluate-{_HEARING[0]}" / "report.html"


def _evaluate(model: str, features: str, out: Path, seed: int) -> dict[str, Any]:
    folder = str(out / f"evaluate-{model}")
    return evaluate(EvaluateOptions(data=(features,), out=folder, model=model, protocol="loso", seed=seed)).metrics


def _train_and_label(
    model: str, features: str, archive: Path, out: Path, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metrics of a model that is trained on the corpus, and what it made of the archive."""
    run, labels = str(out / f"train-{model}"), str(out / f"labels-{model}")
    network: dict[str, Any] = {"epochs": _EPOCHS, "steps_per_epoch": "auto"} if model == _SEEING else {}
    metrics = train(TrainOptions(data=(features,), out=run, model=model, seed=seed, **network)).metrics
    return metrics, label(LabelOptions(media=(str(archive),), model=run, out=labels, seed=seed)).summary


def _generate(options: DemoOptions, corpus: Path, archive: Path) -> None:
    """Write the labelled corpus, and an archive of other actors with a minute of them all and one broken file in it."""
    cluster.connect()
    settings = DemoSettings(actors=options.actors + ARCHIVE_ACTORS, seed=options.seed)
    plans = plan(settings)
    for destination in (corpus, archive):
        write_notice(destination)
    with Counter("generate the synthetic corpus", len(plans), "take") as counter:
        tasks = [
            _write_clips.remote(plans[i : i + _CHUNK], corpus, archive, options.actors)
            for i in range(0, len(plans), _CHUNK)
        ]
        while tasks:
            (task,), tasks = ray.wait(tasks, num_returns=1)
            with cluster.plainly():
                counter.add(ray.get(task))
    write_recording([clip for clip in plans if clip.actor > options.actors], archive / RECORDING)
    write_text(archive / "broken.wav", "This is no sound: it becomes a row in failures/.\n")


@ray.remote(num_cpus=1)
def _write_clips(plans: list[ClipPlan], corpus: Path, archive: Path, actors: int) -> int:
    for clip in plans:
        write_clip(clip, corpus if clip.actor <= actors else archive)
    return len(plans)


def _show(rows: list[dict[str, Any]], summaries: dict[str, dict[str, Any]]) -> None:
    table = Table(title="SYNTHETIC corpus, actors scored by models that never heard or saw them")
    for column in ("model", "scored on", "n", "accuracy", "of frames", "UAR", "95 % interval of UAR"):
        table.add_column(column)
    for row in rows:
        low, high = row["ci95_uar"]
        table.add_row(
            row["model"],
            _SCORED_ON[row["estimate"]],
            str(row["n"]),
            f"{row['accuracy']:.3f}",
            "" if row.get("frame_accuracy") is None else f"{row['frame_accuracy']:.3f}",
            f"{row['uar']:.3f}",
            f"{low:.3f} to {high:.3f}",
        )
    console = Console(width=100)
    console.print(table)
    for model, summary in summaries.items():
        console.print(f"Labelled the archive by {model}: {amount(summary['files'], 'file')} in, {label_line(summary)}.")

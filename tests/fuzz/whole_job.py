"""Mutations in a folder of files, featurized with their pictures by Ray as any archive is."""

import shutil
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emocore.corpora.listing import list_corpora
from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.pictures import PICTURES
from emocore.pipeline.featurize import Featurized, featurize

sys.path.insert(0, str(Path(__file__).parent))
from mutate import FILES, Mutations, name_of
from samples import write_samples
from watching import INOTIFY, Watch

SECONDS = 20
NEVER = {"internal", "killed"}  # our fault, or FFmpeg's: no reason to give for a damaged file


@dataclass
class Job:
    """What came of the files: their outcomes ("read" or a reason), by container, and what must not be."""

    done: Featurized
    counts: dict[str, Counter]
    bugs: list[str] = field(default_factory=list)


def run_job(work: Path, each: int, first_seed: int = 0) -> Job:
    """Write so many mutations of each sample below a new folder, and featurize them all."""
    (work / "samples").mkdir(parents=True)
    samples = write_samples(work / "samples")
    watch = Watch(work, samples["a.mp4"])
    mutations = Mutations(samples, work, watch.port)
    for seed in range(first_seed, first_seed + each):
        for name in samples:
            (work / FILES / name_of(name, seed)).write_bytes(mutations.content(name, seed))
    with watch:
        done = featurize_folder(work / FILES, work / "features")
    outcomes = outcomes_of(work / "features")
    job = Job(done, {name: Counter() for name in samples}, watch.strange())
    for path in sorted(map(str, (work / FILES).glob("a.*-*"))):
        name = Path(path).name
        found = outcomes.pop(path, [])
        job.counts[name.partition("-")[0]].update(found)
        if len(found) != 1 or NEVER & set(found):
            job.bugs.append(f"{name}: {found}")
        if INOTIFY and path not in watch.opened:
            job.bugs.append(f"{name}: nobody was seen to open it")
    job.bugs += [f"{path}: not among the files" for path in outcomes]
    return job


def featurize_folder(folder: Path, out: Path) -> Featurized:
    """Featurize with every second picture, as the readers of fuzzing.py do."""
    families = [ARTICLE, ARTICLE_FRAMES, PICTURES.with_input(every=2)]
    listing = list_corpora([folder], stills=True)
    return featurize(listing, str(out), families, options={}, seconds_per_file=SECONDS)


def outcomes_of(features: Path) -> dict[str, list[str]]:
    """Path → what the tables say of it, once a row."""
    found: dict[str, list[str]] = {}
    for part in ("clips", "failures"):
        files = sorted((features / part).glob("*.parquet"))
        for row in pa.concat_tables(map(pq.read_table, files)).to_pylist() if files else ():
            found.setdefault(row["path"], []).append("read" if part == "clips" else row["reason"])
    return found


def clear(work: Path) -> None:
    """Remove what an earlier job left."""
    shutil.rmtree(work, ignore_errors=True)

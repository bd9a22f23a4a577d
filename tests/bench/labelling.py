"""Wall time of labelling by the job, listing to report, beside the same functions in a plain pool of as many processes.

python tests/bench/labelling.py films [--files 500]
python tests/bench/labelling.py recordings --model RUN [--files 5000]

Films are 720p, x264's defaults, 3.5 s, labelled by face-cnn; recordings half a second, or those of --media FOLDER. Ray
is up and all processes are warm; one round is thrown away, then the median of three.
"""

import argparse
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from archive import make_files
from featurizing import generate_films

from emocore.corpora.listing import walk_media
from emocore.pipeline import cluster
from emocore.pipeline.archive.plan import Plan, cut_shards
from emocore.pipeline.archive.rows import Planned
from emocore.pipeline.archive.stage import Stage, run_shard
from emocore.pipeline.label import LabelOptions, _checked, _stage, label

ROUNDS = 4
UNLABELLED = {"soft_label": np.zeros(8, np.float32)}


def main() -> None:
    """Print each round's seconds and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["films", "recordings"])
    parser.add_argument("--files", type=int)
    parser.add_argument("--model", default="face-cnn")
    parser.add_argument("--media", type=Path)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make = generate_films if told.kind == "films" else make_files
        media = told.media or make(work, told.files or {"films": 500, "recordings": 5000}[told.kind])
        options = LabelOptions(media=(str(media),), model=told.model, out=str(work / "L"))
        cluster.connect()
        stage = _stage(options, _checked(options))
        rows = sorted((row for row, _ in walk_media([media], [])), key=lambda row: str(row["path"]))
        plan = Plan(work)
        n = plan.write(cut_shards([Planned({**row, **UNLABELLED}, None, 0) for row in rows], stage.reading), 0)
        print(f"{len(rows)} files in {n} shards", flush=True)
        os.environ["OMP_NUM_THREADS"] = "1"  # as Ray does for a task of one CPU
        with multiprocessing.get_context("spawn").Pool(cluster.cpus()) as pool:

            def in_pool() -> None:
                for _ in pool.imap_unordered(_one, [(plan.shard(place), stage, work / "P") for place in range(n)]):
                    pass

            ratios = []
            for number in range(ROUNDS):
                ours = _seconds(lambda: label(options), work / "L")
                plain = _seconds(in_pool, work / "P")
                print(f"round {number}: job {ours:.2f} s, pool {plain:.2f} s, ratio {ours / plain:.3f}", flush=True)
                ratios.append(ours / plain)
        print(f"median ratio of the last {ROUNDS - 1}: {statistics.median(ratios[1:]):.3f}")


def _one(work: tuple[pa.Table, Stage, Path]) -> None:
    run_shard(*work)


def _seconds(work: Callable[[], object], out: Path) -> float:
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

"""Wall time of featurizing films by the job beside the same functions in a plain pool of as many processes.

Run: python tests/bench/featurizing.py [FOLDER OF FILMS]. Without a folder, 200 films are generated: 720p, x264's
defaults, 3.5 s, no sound. Ray is up and all processes are warm; one round is thrown away, then the median of three.
"""

import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from decoding import FILMS, write_film

from emocore.corpora.listing import list_corpora
from emocore.features.article import ARTICLE
from emocore.features.pictures import PICTURES
from emocore.media.reading import Reading
from emocore.pipeline import cluster
from emocore.pipeline.archive.plan import Plan, cut_shards
from emocore.pipeline.archive.rows import Planned
from emocore.pipeline.archive.shards import run_shards
from emocore.pipeline.archive.stage import run_shard
from emocore.pipeline.featurize import Featurizing

N_FILMS, ROUNDS = 200, 4
UNLABELLED = {"soft_label": np.zeros(8, np.float32)}
STAGE = Featurizing((ARTICLE, PICTURES), Reading(every=20))


def main() -> None:
    """Print each round's seconds and the median ratio."""
    with tempfile.TemporaryDirectory() as work:
        films = Path(sys.argv[1]) if len(sys.argv) > 1 else generate_films(Path(work), N_FILMS)
        out = Path(work) / "F"
        cluster.connect()
        rows = list_corpora([str(films)]).clips.to_pylist()
        plan = Plan(Path(work))
        n = plan.write(cut_shards([Planned({**row, **UNLABELLED}, None, 0) for row in rows], STAGE.reading), 0)
        os.environ["OMP_NUM_THREADS"] = "1"  # as Ray does for a task of one CPU
        with multiprocessing.get_context("spawn").Pool(cluster.cpus()) as pool:

            def in_pool() -> None:
                for _ in pool.imap_unordered(_one, [(plan.shard(place), out) for place in range(n)]):
                    pass

            ratios = []
            for number in range(ROUNDS):
                ours, plain = (_seconds(work, out) for work in (lambda: _by_job(plan, out), in_pool))
                print(f"round {number}: job {ours:.2f} s, pool {plain:.2f} s, ratio {ours / plain:.3f}", flush=True)
                ratios.append(ours / plain)
        print(f"median ratio of the last {ROUNDS - 1}: {statistics.median(ratios[1:]):.3f}")


def _by_job(plan: Plan, out: Path) -> None:
    run_shards(STAGE, plan, out, 0, max_failures=None)


def _one(work: tuple[pa.Table, Path]) -> None:
    shard, out = work
    run_shard(shard, STAGE, out)


def _seconds(work: Callable[[], None], out: Path) -> float:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def generate_films(folder: Path, n: int) -> Path:
    """Write one film, and copies of it that differ in a box at the end which players skip."""
    films = folder / "films"
    films.mkdir()
    codec, options, lengths = FILMS["x264-default.mp4"]
    write_film(films / "000.mp4", codec, options, lengths)
    content = (films / "000.mp4").read_bytes()
    for number in range(1, n):
        box = (16).to_bytes(4) + b"free" + number.to_bytes(8)
        (films / f"{number:03d}.mp4").write_bytes(content + box)
    return films


if __name__ == "__main__":
    main()

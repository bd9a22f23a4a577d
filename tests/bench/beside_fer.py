"""Clips a second of `label --model face-cnn --faces` beside those of the fer package, on the same films and cores.

python tests/bench/beside_fer.py FER_PYTHON [--films 60] [--few 16]

FER_PYTHON is the interpreter of an environment with fer (25.10.3) and opencv-contrib-python 4. Its films are dealt out
to as many processes as there are CPUs; with its defaults it looks at every frame, and gets only the first --few films.
The films are 720p, with a drawn face each. Both are warm: their first films do not count. Then one film in twenty is
broken, and both are asked for all of them.
"""

import argparse
import os
import subprocess
import tempfile
import time
from pathlib import Path

from emocore.corpora.synthetic.corpus import DemoSettings, plan, write_clip
from emocore.pipeline import cluster
from emocore.pipeline.label import LabelOptions, label

THEIRS = """
import multiprocessing, os, queue, sys, time, warnings
warnings.filterwarnings("ignore")

def work(paths, frequency, done):
    from fer.classes import Video
    from fer.fer import FER
    os.makedirs(str(os.getpid()))
    os.chdir(str(os.getpid()))  # it writes into the working directory
    detector = FER()
    for number, path in enumerate(paths):
        if number == 1:
            done.put(("warm", time.time()))
        Video(path).analyze(detector, frequency=frequency)
        done.put((path, time.time()))

if __name__ == "__main__":
    paths, frequency = sys.argv[2:], int(sys.argv[1]) or None
    context = multiprocessing.get_context("spawn")
    n, done = os.cpu_count(), context.Queue()
    processes = [context.Process(target=work, args=(paths[i::n], frequency, done)) for i in range(n)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = []
    while True:
        try:
            found.append(done.get(timeout=1))  # `empty` may lie
        except queue.Empty:
            break
    begun = min(when for what, when in found if what == "warm")
    ended = [when for what, when in found if what != "warm" and when > begun]
    print("RESULT", len([what for what, _ in found if what != "warm"]), len(ended) / (max(ended) - begun))
"""


def main() -> None:
    """Print clips a second of each, and how far each comes with broken films."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python")
    parser.add_argument("--films", type=int, default=60)
    parser.add_argument("--few", type=int, default=16)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        films = make_films(work / "films", told.films)
        ours = label_twice(work, films)
        print(f"ours, every 20th frame: {ours:.2f} clips a second", flush=True)
        for what, frequency, given in (("every 20th frame", 20, films), ("its defaults", 0, films[: told.few])):
            n, rate = run_fer(told.python, work, given, frequency)
            print(f"fer, {what}: {rate:.2f} clips a second of {n}; ours {ours / rate:.1f} times that", flush=True)
        for film in films[7::20]:
            film.write_bytes(film.read_bytes()[:2000])
        done = label(LabelOptions(media=(str(work / "films"),), model="face-cnn", faces=True, out=str(work / "bad")))
        n, _ = run_fer(told.python, work, films, 20)
        bad = len(films[7::20])
        print(
            f"with {bad} of {len(films)} broken: ours {done.summary['labels']} labels and "
            f"{done.summary['failures']} failures; fer {n} films, then its processes had ended"
        )


def make_films(folder: Path, n: int) -> list[Path]:
    """Write generated films of 720 × 720 pixels."""
    clips = plan(DemoSettings(actors=24, frame_size_pixels=720))
    for clip in clips[:: max(1, len(clips) // n)][:n]:
        write_clip(clip, folder)
    for wav in folder.rglob("*.wav"):
        wav.unlink()
    return sorted(folder.rglob("*.mp4"))


def label_twice(work: Path, films: list[Path]) -> float:
    """Return clips a second of the second time."""
    cluster.connect()
    for out in ("first", "second"):
        started = time.perf_counter()
        label(LabelOptions(media=(str(work / "films"),), model="face-cnn", faces=True, out=str(work / out)))
    return len(films) / (time.perf_counter() - started)


def run_fer(python: str, work: Path, films: list[Path], frequency: int) -> tuple[int, float]:
    """Return how many films fer came through, and how many a second."""
    script = work / "theirs.py"
    script.write_text(THEIRS)
    place = work / f"fer-{frequency}-{time.time_ns()}"
    place.mkdir()
    command = [python, str(script), str(frequency), *map(str, films)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    if not lines:
        raise SystemExit(done.stderr[-2000:])
    _, n, rate = lines[0].split()
    return int(n), float(rate)


if __name__ == "__main__":
    main()

"""Label many short files, undisturbed and with processes killed all the while; compare every row.

python tests/bench/archive.py FOLDER [--files 20000] [--kills 10] [--seed 0]
python tests/bench/archive.py FOLDER --memory 1000 10000 20000

FOLDER keeps the files, which are made once: half a second each, one in a hundred broken, one in fifty a copy.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from emocore.corpora.synthetic.corpus import DemoSettings, plan, write_clip

ROOT = Path(__file__).parents[2]
RATE, SECONDS = 16_000, 0.5
A_FOLDER = 1_000


def main() -> None:
    """Print what the kills cost, and what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--memory", type=int, nargs="+", default=[])
    for name, default in (("files", 20_000), ("kills", 10), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    model = make_model(options.folder)
    if options.memory:
        for files in options.memory:
            measure(options.folder, make_files(options.folder, files), model)
        return
    media = make_files(options.folder, options.files)
    calm, killed = (options.folder / name for name in ("calm", "killed"))
    for out in (calm, killed):
        shutil.rmtree(out, ignore_errors=True)
    started = time.monotonic()
    run(media, model, calm).wait()
    undisturbed = time.monotonic() - started
    print(f"undisturbed: {undisturbed:.0f} s, {options.files / undisturbed:.0f} files a second", flush=True)
    seconds = disturb(media, model, killed, options.kills, undisturbed, random.Random(options.seed))
    compare(media, calm, killed)
    print(
        f"with {options.kills} drivers and {options.kills} workers killed: {seconds:.0f} s, "
        f"{seconds - undisturbed:+.0f} s, {(seconds - undisturbed) / options.kills / 2:.1f} s a kill"
    )


def make_model(folder: Path) -> Path:
    """Train a model on generated actors whose answers to tones differ."""
    run_folder, corpus = folder / "RUN", folder / "corpus"
    if not (run_folder / "metrics.json").exists():
        for clip in plan(DemoSettings(actors=4, frame_size_pixels=96)):
            write_clip(clip, corpus)
        told = ["train", str(corpus), "--model", "svc-linear", "--out", str(run_folder)]
        subprocess.run([sys.executable, f"jobs/{told[0]}.py", *told[1:]], cwd=ROOT, check=True)
    return run_folder


def make_files(folder: Path, files: int) -> Path:
    """Write short sounds, the same ones for the same number."""
    media = folder / f"media-{files}"
    done = media / ".done"
    time_axis = np.arange(round(RATE * SECONDS)) / RATE
    for number in range(0 if done.exists() else files):
        path = media / f"{number // A_FOLDER:03d}" / f"{number:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 100 == 99:
            path.write_bytes(b"RIFF" + number.to_bytes(4) * 20)
            continue
        generator = np.random.default_rng(number - number % 50 if number % 50 == 1 else number)
        tone = np.sin(2 * np.pi * generator.uniform(80, 400) * time_axis) + generator.normal(0, 0.1, len(time_axis))
        soundfile.write(path, (0.3 * tone).astype(np.float32), RATE)
    done.touch()
    return media


def run(media: Path, model: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the job."""
    command = [sys.executable, "jobs/label.py", str(media), "--model", str(model), "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)


def disturb(media: Path, model: Path, out: Path, kills: int, undisturbed: float, generator: random.Random) -> float:
    """Run the job until it is done, and kill drivers and workers at random moments; return the seconds."""
    started = time.monotonic()
    drivers = workers = 0
    while True:
        job = run(media, model, out)
        # Half of what is left, so that the last kill comes before the end.
        until = generator.uniform(3, max(8, undisturbed / kills))
        until_worker = generator.uniform(2, until)
        begun = time.monotonic()
        while job.poll() is None:
            passed = time.monotonic() - begun
            if workers < kills and workers <= drivers and passed > until_worker:
                workers += kill_worker(job.pid, generator)
                until_worker = passed + 0.5
            if drivers < kills and passed > until:
                job.send_signal(signal.SIGKILL)
                drivers += 1
            time.sleep(0.05)
        if job.returncode == 0:
            print(f"{drivers} drivers and {workers} workers were killed", flush=True)
            return time.monotonic() - started
        if job.returncode != -signal.SIGKILL:
            raise SystemExit(f"the job ended with {job.returncode}")


def kill_worker(driver: int, generator: random.Random) -> bool:
    """Kill a process of Ray that works for this driver; return whether there was one."""
    found = [pid for pid in descendants(driver) if name_of(pid).startswith("ray::")]
    # Agents belong to the machine: it goes with them, as the driver does.
    working = [pid for pid in found if not any(word in name_of(pid) for word in ("IDLE", "Agent"))]
    if not working:
        return False
    subprocess.run(["kill", "-9", str(generator.choice(working))], check=False)
    return True


def descendants(pid: int) -> list[int]:
    """Return the processes below this one."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def name_of(pid: int) -> str:
    """Return a process's command line, empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def compare(media: Path, calm: Path, killed: Path) -> None:
    """Print how many files are there twice, not at all, or with other numbers."""
    wanted = {str(path) for path in media.rglob("*.wav")}
    tables = {out: {part: rows(out, part) for part in ("labels", "failures")} for out in (calm, killed)}
    for out, parts in tables.items():
        paths = [path for part in parts.values() for path in part["path"].to_pylist()]
        counts = f"{parts['labels'].num_rows:,} labels, {parts['failures'].num_rows:,} failures"
        print(
            f"{out.name}: {len(wanted):,} files, {counts}, duplicates {len(paths) - len(set(paths))}, "
            f"missing {len(wanted - set(paths))}, unknown {len(set(paths) - wanted)}"
        )
    differ = sum(
        one != other
        for part in ("labels", "failures")
        for one, other in zip(tables[calm][part].to_pylist(), tables[killed][part].to_pylist(), strict=True)
    )
    print(f"rows that differ: {differ}", flush=True)


def rows(out: Path, part: str) -> pa.Table:
    """Return a table's rows by path."""
    return pa.concat_tables([pq.ParquetFile(file).read() for file in (out / part).glob("*.parquet")]).sort_by("path")


def measure(folder: Path, media: Path, model: Path) -> None:
    """Print the most memory that the driver, a worker, and all processes together held, as MB of PSS."""
    out = folder / "measured"
    shutil.rmtree(out, ignore_errors=True)
    job = run(media, model, out)
    peaks = {"driver": 0.0, "largest worker": 0.0, "all": 0.0}
    ended = threading.Event()
    started = time.monotonic()

    def watch() -> None:
        while not ended.wait(0.5):
            held = {pid: pss(pid) for pid in [job.pid, *descendants(job.pid)]}
            workers = [size for pid, size in held.items() if name_of(pid).startswith("ray::")]
            for name, size in (
                ("driver", held[job.pid]),
                ("largest worker", max(workers, default=0.0)),
                ("all", sum(held.values())),
            ):
                peaks[name] = max(peaks[name], size)

    thread = threading.Thread(target=watch)
    thread.start()
    job.wait()
    ended.set()
    thread.join()
    told = ", ".join(f"{name} {size:.0f} MB" for name, size in peaks.items())
    print(f"{media.name}: {told}; {time.monotonic() - started:.0f} s", flush=True)


def pss(pid: int) -> float:
    """Return a process's share of memory in MB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:")), 0.0)


if __name__ == "__main__":
    main()

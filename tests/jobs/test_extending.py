"""EXTENDING.md, as it stands there: a family, a model, a corpus and a section, each a module of one's own."""

import json
import os
import re
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```python\n# (my_\w+\.py)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A working directory with the modules, and recordings of four speakers: anger is loud."""
    folder = tmp_path_factory.mktemp("extending")
    for name, code in BLOCK.findall((ROOT / "EXTENDING.md").read_text()):
        (folder / name).write_text(code)
    (folder / "corpus").mkdir()
    noise = np.random.default_rng(0)
    for speaker in range(4):
        for emotion, level in (("A", 8_000), ("S", 800)):
            for take in range(3):
                samples = (noise.normal(size=16_000) * level / 3).clip(-32_000, 32_000).astype("<i2")
                with wave.open(str(folder / "corpus" / f"{speaker:02d}-{emotion}-{take}.wav"), "wb") as file:
                    file.setparams((1, 2, 16_000, 0, "NONE", ""))
                    file.writeframes(samples.tobytes())
    return folder


@pytest.fixture(scope="module")
def run(here):
    def call(job, *arguments):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("RAY_ADDRESS", None)
        command = [sys.executable, str(ROOT / "jobs" / f"{job}.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=170)

    return call


@pytest.fixture(scope="module")
def trained(here, run):
    told = ["--model", "my_model:CENTROIDS", "--corpus", "my_corpus:MINE", "--section", "my_section:BY_SPEAKER"]
    done = run("train", "corpus", *told, "--out", "RUN")
    assert done.returncode == 0, done.stderr
    return here / "RUN"


def test_each_has_its_block():
    names = [name for name, _ in BLOCK.findall((ROOT / "EXTENDING.md").read_text())]
    assert names == ["my_family.py", "my_model.py", "my_corpus.py", "my_section.py"]


def test_all_four_make_a_run(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert (metrics["model"], metrics["n"], metrics["accuracy"]) == ("my_model:CENTROIDS", 24, 1.0)
    told = metrics["families"]["loudness"]
    assert told["module"] == "my_family:LOUDNESS" and len(told["source_hash"]) == 64
    table = pq.read_table(trained / "features" / "features" / "loudness")
    assert table.column_names[-2:] == ["rms", "roughness"] and table.num_rows == 24
    page = (trained / "report.html").read_text()
    assert "Who is mistaken most" in page and "Mistakes by speaker" in page


def test_the_model_labels_and_is_refused_without_its_module(trained, here, run):
    done = run("label", "corpus/00-A-0.wav", "corpus/01-S-0.wav", "--model", "RUN", "--no-vad", "--out", "L")
    assert done.returncode == 0, done.stderr
    labels = {row["clip"]: row for row in pq.read_table(here / "L" / "labels").to_pylist()}
    assert [labels[clip]["predicted"] for clip in ("00-A-0.wav", "01-S-0.wav")] == ["angry", "sad"]
    assert labels["00-A-0.wav"]["answered_by"] == ["loudness"]
    source = here / "my_model.py"
    code = source.read_text()
    source.write_text(code.replace("nearest mean", "other mean"))
    changed = run("label", "corpus", "--model", "RUN", "--out", "L2")
    source.unlink()
    missing = run("label", "corpus", "--model", "RUN", "--out", "L2")
    source.write_text(code)
    assert changed.returncode == missing.returncode == 2
    assert "my_model:CENTROIDS is another module than this was made with" in changed.stderr
    assert "my_model:CENTROIDS cannot be imported" in missing.stderr and "Traceback" not in missing.stderr

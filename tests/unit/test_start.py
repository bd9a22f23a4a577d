"""What is imported, and when: a wrong option is said before the seconds that the work's libraries take to import."""

import ast
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emocore.features.article import ARTICLE
from emocore.features.catalogue import to_json
from emocore.models.bundle import save_bundle
from emocore.models.catalogue import classifier_class
from emocore.models.fitting import Recipe
from emocore.schema import CLIPS, rows_to_table
from emocore.storage.tables import read_tables

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py"))
HEAVY = ("ray", "tensorflow", "keras", "sklearn", "librosa", "numba", "av", "scipy", "matplotlib", "xgboost", "optuna")
# What labelling a file has no use for: in the process that lists, plans and writes the page, and in the one that reads.
NOT_TO_LIST = ("ray", "tensorflow", "sklearn", "skops", "librosa", "numba", "xgboost", "optuna", "scipy.stats")
NOT_TO_LIST += ("scipy.signal", "scipy.optimize")
NOT_TO_READ = ("ray", "tensorflow", "matplotlib", "optuna", "jinja2", "requests")


def imported_by(statement, heavy=HEAVY):
    """Those of the heavy libraries that a process has after this statement."""
    code = f"import sys\n{statement}\nprint(*(name for name in {heavy} if name in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stderr.split()


@pytest.mark.parametrize("job", JOBS)
def test_a_job_prints_by_what_spells_control_characters_out(job):
    calls = [
        node.func for node in ast.walk(ast.parse((ROOT / f"jobs/{job}.py").read_text())) if isinstance(node, ast.Call)
    ]
    assert not [
        call for call in calls if getattr(call, "id", None) == "print" or getattr(call, "attr", None) == "write"
    ]


def test_the_package_imports_nothing_heavy():
    assert imported_by("import emocore; assert 'numpy' not in sys.modules") == []


@pytest.mark.parametrize("job", JOBS)
def test_a_jobs_options_import_nothing_heavy(job):
    assert imported_by(f"import runpy; runpy.run_path('jobs/{job}.py')") == []


@pytest.fixture(scope="module")
def run_and_file(tmp_path_factory):
    """A RUN of svc, and a file to label."""
    folder = tmp_path_factory.mktemp("start")
    y = np.repeat([1, 4], 10)
    soft = np.eye(8, dtype="f4")[y]
    classifier = classifier_class("svc")("svc")
    classifier.fit(np.random.default_rng(0).standard_normal((20, 160)).astype("f4"), soft, soft.max(axis=0))
    classifier.save(folder)
    files = {"model.skops": (folder / "model.skops").read_bytes()}
    facts = {"temperature": 1.0, "families": to_json([ARTICLE]), "settings": {}}
    save_bundle(folder / "RUN" / "model", files, Recipe("svc"), rows_to_table([], CLIPS), facts)
    soundfile.write(folder / "one.wav", np.sin(np.arange(48_000) * 0.05) / 4, 16_000)
    return folder / "RUN", folder / "one.wav"


def test_labelling_a_file_imports_what_it_needs_and_no_more(run_and_file, tmp_path):
    run, file = run_and_file
    command = ["label.py", str(file), "--model", str(run), "--out", str(tmp_path / "LABELS")]
    job = f"import runpy; sys.argv = {command}; runpy.run_path('jobs/label.py', run_name='__main__')"
    assert imported_by(job, NOT_TO_LIST) == []
    assert len(read_tables(tmp_path / "LABELS" / "labels")) == 1


def test_the_process_that_reads_imports_what_it_needs_and_no_more(run_and_file):
    run, file = run_and_file
    prepared = (
        f"import emocore.pipeline.archive.shards; from emocore.pipeline.label import prepare; prepare({str(run)!r})"
    )
    read = (
        "from emocore.features.extract import PLANNED, featurize_batch; import pyarrow as pa; "
        "from emocore.features.article import ARTICLE; "
        f"print(featurize_batch(pa.Table.from_pylist([{{'path': {str(file)!r}}}], PLANNED), [ARTICLE])['state'])"
    )
    assert imported_by(f"{prepared}; {read}", NOT_TO_READ) == []


@pytest.mark.parametrize("job", JOBS)
def test_help_is_written_for_people(job):
    """No type of Python's, no default that means nothing, no line that is broken twice, no page with holes."""
    done = subprocess.run([sys.executable, f"jobs/{job}.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    page = done.stdout
    assert done.returncode == 0 and not done.stderr
    for odd in ("None", "(default: )", "False", "STR", "INT", "{", "│", "\n\n\n"):
        assert odd not in page
    assert max(map(len, page.splitlines())) <= 100
    below = [line for line in page.splitlines() if line.startswith(" " * 6)]
    for line, following in pairwise(page.splitlines()):
        if line in below and following in below:  # one paragraph: the word that follows did not fit, or half of it
            assert len(line) + 1 + len(re.split(r"(?<=-)", following.split()[0])[0]) > 80

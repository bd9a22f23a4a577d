"""What is imported, and when: a wrong option is said before the seconds that the work's libraries take to import."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py"))
HEAVY = ("ray", "tensorflow", "keras", "sklearn", "librosa", "numba", "av", "scipy", "matplotlib", "xgboost", "optuna")


def imported_by(statement):
    """Those of the heavy libraries that a process has after this statement."""
    code = f"import sys\n{statement}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_package_imports_nothing_heavy():
    assert imported_by("import emocore; assert 'numpy' not in sys.modules") == []


@pytest.mark.parametrize("job", JOBS)
def test_a_jobs_options_import_nothing_heavy(job):
    assert imported_by(f"import runpy; runpy.run_path('jobs/{job}.py')") == []


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

"""Which room may import which, and which third party may be named where."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path.relative_to(ROOT) for folder in ("emocore", "jobs") for path in (ROOT / folder).rglob("*.py"))
GROUND = {"errors", "labels", "probabilities", "timeline", "schema", "versions", "progress", "cli", "own"}
MAY_IMPORT = {  # room → rooms below it; the ground floor is for all
    "storage": set(),
    "evaluation": set(),
    "media": {"storage"},
    "tracks": {"media"},
    "features": {"media", "tracks"},
    "corpora": {"storage", "media"},
    "datasets": {"storage", "tracks", "features", "corpora"},
    "models": {"storage", "media", "tracks", "features"},
    "reports": {"evaluation"},
    "exports": {"storage", "media"},
    "api": {"storage", "media", "tracks", "features", "models", "reports"},
    "pipeline": {
        *("storage", "media", "tracks", "features", "corpora", "datasets", "models", "evaluation", "reports"),
        "exports",
    },
    "__init__": {"api"},
    "jobs": {"pipeline", "corpora", "features", "media", "storage", "reports"},
}
ONLY_IN = {  # third party → the folders that may name it
    "ray": ("emocore/pipeline/",),
    "tensorflow": ("emocore/models/keras/",),
    "keras": ("emocore/models/keras/",),
    "requests": ("emocore/corpora/download/",),
    "matplotlib": ("emocore/reports/",),
    "jinja2": ("emocore/reports/",),
    "av": ("emocore/media/", "emocore/corpora/synthetic/", "emocore/exports/"),
    "tyro": ("emocore/cli.py", "emocore/pipeline/", "jobs/"),
}
NO_ARROW = (
    *("emocore/media/", "emocore/tracks/", "emocore/evaluation/", "emocore/probabilities.py", "emocore/timeline.py"),
    *("emocore/labels.py", "emocore/errors.py", "emocore/features/article.py", "emocore/models/classical.py"),
    *("emocore/models/aggregation.py", "emocore/models/fitting.py"),
)


def imported(path):
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module):
    """The room of a dotted name or of a path."""
    parts = Path(module).with_suffix("").parts if "/" in str(module) else module.split(".")
    if parts[0] == "jobs":
        return "jobs"
    name = parts[1] if len(parts) > 1 else "__init__"
    return name if name in MAY_IMPORT else "ground"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_room_imports_only_what_lies_below_it(path):
    room = room_of(str(path))
    for module in imported(path):
        package = module.split(".")[0]
        if package == "emocore":
            other = room_of(module)
            assert other in (room, "ground") or other in MAY_IMPORT.get(room, ()), f"{path} imports {module}"
        else:
            assert str(path).startswith(ONLY_IN.get(package, "")), f"{path} imports {package}"
            assert package != "pyarrow" or not str(path).startswith(NO_ARROW), f"{path} imports {package}"


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] == "emocore"], ids=str)
def test_the_ground_floor_is_known(path):
    if len(path.parts) == 2 and room_of(str(path)) == "ground":
        assert path.stem in GROUND | {"__init__"}


def test_the_matrix_has_no_circle():
    TopologicalSorter(MAY_IMPORT).prepare()

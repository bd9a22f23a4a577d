"""Which room may import which, and which third party may be named where."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path.relative_to(ROOT) for folder in ("emocore", "jobs") for path in (ROOT / folder).rglob("*.py"))
GROUND = {
    *("arrays", "child", "cli", "errors", "labels", "own", "probabilities", "progress", "schema", "timeline"),
    "versions",
}
MAY_IMPORT = {  # room → rooms below it; the ground floor is for all
    "storage": set(),
    "evaluation": set(),
    "media": {"storage"},
    "tracks": {"media"},
    "features": {"storage", "media", "tracks"},
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


# Writing is storage's: another call would pass by what makes files whole, and a full disk one sentence.
MAKES_A_FILE = {  # methods and functions that do, whatever they are given
    *("touch", "imwrite", "create_file_writer", "mkdtemp", "mkstemp", "NamedTemporaryFile", "TemporaryFile"),
    *("TemporaryDirectory", "copyfile", "copy2", "copytree", "symlink_to", "hardlink_to", "truncate", "to_csv"),
    *("to_parquet", "save_weights", "rename", "sqlite3.connect"),
}
OPENS = {"open", "fdopen", "ZipFile", "SoundFile", "FileIO"}  # by the mode
TAKES_A_NAME_OR_A_FILE = {  # where it stands among the arguments; a name of these is a file that is open
    **dict.fromkeys(
        ("np.save", "np.savez", "pq.ParquetWriter", "pa.ipc.new_file", "wave.open", "av.open", "figure.savefig"), 0
    ),
    **dict.fromkeys(("pq.write_table", "skops.io.dump"), 1),
}
OPEN_FILES = ("file", "buffer", "content", "stream", "_Seekable(stream)")
MAY_WRITE = {  # file and call: why
    ("emocore/cli.py", "os.open"): "the null device",
    ("emocore/child.py", "open"): "a pipe",
    ("emocore/pipeline/archive/connection.py", "sqlite3.connect"): "SQLite's own journal keeps it whole",
    ("emocore/pipeline/archive/dry_run.py", "sqlite3.connect"): "a copy, in a folder that goes when it was read",
    ("emocore/pipeline/training/fit_frames.py", "rename"): "a folder of TensorBoard's logs, once they are there",
    ("emocore/models/keras/devices.py", "create_file_writer"): "a log that cannot be written is no reason to stop",
}


def written(tree):
    """The calls of a file that write, as far as they say so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if writes(name, name.rpartition(".")[2], node):
                yield name


def writes(name, last, node):
    given = [ast.unparse(value) for value in [*node.args, *(word.value for word in node.keywords)]]
    if name == "os.open":
        return any("WR" in value or "CREAT" in value for value in given)
    if last in ("write_text", "write_bytes"):
        return "." in name  # without one it is storage's
    if name in TAKES_A_NAME_OR_A_FILE:
        return given[TAKES_A_NAME_OR_A_FILE[name]] not in OPEN_FILES
    if last in OPENS:
        return any(re.fullmatch("'[rbtU+]*[wax+][bt+]*'", value) for value in given)
    return last in MAKES_A_FILE or (name in MAKES_A_FILE and given != ["':memory:'"])


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[1] != "storage"], ids=str)
def test_only_storage_writes_files(path):
    for name in written(ast.parse((ROOT / path).read_text())):
        known = [(str(path), name), (str(path), name.rpartition(".")[2])]
        assert any(pair in MAY_WRITE for pair in known), f"{path} writes with {name}: see storage/files.py"


SEEN = (
    *("Path(a).open('w')", "open(a, mode='ab')", "path.open('r+b')", "os.open(a, os.O_RDWR)", "path.write_text(b)"),
    *("np.save(folder / 'a.npy', b)", "pq.write_table(table, path)", "(folder / 'a').touch()", "figure.savefig(path)"),
    *("sqlite3.connect(path)", "zipfile.ZipFile(path, 'w')", "tempfile.mkdtemp()", "gzip.open(path, 'xb')"),
)
PASSED = (
    *("open(a)", "Path(a).open('rb')", "np.savez(file, a=1)", "pq.write_table(table, file)", "write_text(path, 'w')"),
    *("sqlite3.connect(':memory:')", "zipfile.ZipFile(path)", "os.open(a, os.O_RDONLY)", "archive.open(name)"),
)


@pytest.mark.parametrize(("code", "is_seen"), [*((code, True) for code in SEEN), *((code, False) for code in PASSED)])
def test_a_call_that_writes_is_seen(code, is_seen):
    assert bool(list(written(ast.parse(code)))) == is_seen

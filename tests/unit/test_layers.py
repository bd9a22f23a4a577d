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


# Writing is storage's: what calls one of these anywhere else passes its whole files, and its sentence for a full disk, by.
WRITES = {
    *("write_text", "write_bytes", "touch", "savefig", "imwrite", "create_file_writer", "mkdtemp", "mkstemp"),
    *("NamedTemporaryFile", "TemporaryFile", "TemporaryDirectory", "copyfile", "copy2", "copytree", "symlink_to"),
    *("hardlink_to", "link", "truncate", "to_csv", "to_parquet", "save_model", "save_weights", "to_file"),
}
OPENS = {"open", "fdopen", "ZipFile", "TarFile", "SoundFile", "OSFile", "memory_map", "FileIO"}  # by their mode
TAKES_A_PATH_OR_A_FILE = {  # called with a path they write it themselves; with a file of ours they do not
    *("numpy.save", "numpy.savez", "numpy.savez_compressed", "skops.io.dump", "pyarrow.parquet.write_table"),
    *("pyarrow.parquet.ParquetWriter", "pyarrow.ipc.new_file", "wave.open", "av.open", "soundfile.write"),
}
MAY_WRITE = {  # file and call: why
    "emocore/cli.py os.open": "the null device",
    "emocore/api/reader.py os.fdopen": "a pipe",
    "emocore/pipeline/archive/here.py open": "a pipe",
    "emocore/pipeline/archive/database.py sqlite3.connect": "SQLite's own journal makes its file whole",
    "emocore/pipeline/archive/dry_run.py sqlite3.connect": "a copy for a dry run, in a folder that goes with it",
    "emocore/models/keras/devices.py tf.summary.create_file_writer": "a log that cannot be written is no reason to stop",
}


def calls(path):
    """Every call in a file, by its name with the modules' own names in it, and its node."""
    tree = ast.parse((ROOT / path).read_text())
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            yield names.get(first, first) + dot + rest, node


def mode_of(name, node):
    """The mode of a call that opens a file, as far as it stands there; an unknown one may write."""
    is_method = name.endswith(".open") and name not in ("os.open", "wave.open", "av.open", "io.open", "zipfile.open")
    place = 0 if is_method else 1
    given = [*node.args[place : place + 1], *(word.value for word in node.keywords if word.arg == "mode")]
    if not given:
        return "r"
    return ast.literal_eval(given[0]) if isinstance(given[0], ast.Constant) else ast.unparse(given[0])


def writes(name, node):
    """Whether a call makes or changes a file by its path."""
    last = name.rpartition(".")[2]
    if name == "os.open":
        return "WR" in ast.unparse(node) or "CREAT" in ast.unparse(node)
    if last == "connect":
        return name == "sqlite3.connect" and ast.unparse(node.args[0]) != "':memory:'"
    if last in WRITES:
        return not name.startswith("self.") and last != "write_text" and last != "write_bytes" or "." in name
    if name in TAKES_A_PATH_OR_A_FILE:
        target = ast.unparse(node.args[1] if "write_table" in name or "skops" in name else node.args[0])
        return "r" not in mode_of(name, node)[:1] and target not in ("file", "content", "buffer", "stream")
    if last in OPENS:
        return bool(set("wax+W") & set(str(mode_of(name, node))))
    return last == "save" and len(node.args) == 1

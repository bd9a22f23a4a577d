"""The examples in docstrings are true, and inner rings import no outer one."""

import ast
import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import emocore

NETWORKS = (  # what names TensorFlow or Keras
    *(f"emocore.models.{name}" for name in ("conv1d", "architectures", "face_network", "networks", "stepping")),
    "emocore.models.threads",
    "emocore.pipeline.network_worker",
)
HEAVY = ("emocore.pipeline.", *NETWORKS)  # these import Ray or TensorFlow
LIGHT = ("emocore.pipeline.progress", "emocore.pipeline.folds", "emocore.pipeline.network_options")
MODULES = [module.name for module in pkgutil.walk_packages(emocore.__path__, "emocore.") if not module.ispkg]
INNER = [name for name in MODULES if not name.startswith(HEAVY) or name in LIGHT]
ARRAYS = [
    *(name for name in INNER if name.startswith("emocore.media.")),
    "emocore.features.mfcc",
    "emocore.evaluation.metrics",
    "emocore.evaluation.calibration",
    "emocore.models.classical",
    "emocore.models.combining",
    "emocore.models.fitting",
    "emocore.labels",
    "emocore.config",
    "emocore.errors",
]


@pytest.mark.parametrize("name", INNER)
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    found = [test for name in INNER for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 15


def imports(name):
    """The first names of what a module imports, wherever in the file."""
    tree = ast.parse(Path(importlib.util.find_spec(name).origin).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_only_the_outer_ring_names_ray_and_only_networks_name_tensorflow(name):
    found = set(imports(name))
    assert "ray" not in found or name.startswith("emocore.pipeline.")
    assert not found & {"tensorflow", "keras"} or name in NETWORKS


@pytest.mark.parametrize("name", ARRAYS)
def test_array_functions_import_no_arrow(name):
    assert "pyarrow" not in set(imports(name))

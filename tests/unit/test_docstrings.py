"""The examples in docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import emocore

HEAVY = ("emocore.pipeline.", "emocore.models.keras.")  # these import Ray or TensorFlow
LIGHT = ("emocore.pipeline.training.folds", "emocore.pipeline.options.frames")
MODULES = [module.name for module in pkgutil.walk_packages(emocore.__path__, "emocore.") if not module.ispkg]
INNER = [name for name in MODULES if not name.startswith(HEAVY) or name in LIGHT]


@pytest.mark.parametrize("name", INNER)
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    found = [test for name in INNER for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 15

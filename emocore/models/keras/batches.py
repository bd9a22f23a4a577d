"""A worker's batches: drawn from pass after pass over its frames, shuffled and changed in the background."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emocore.models.augment import NONE, Augmentation, augment

CHUNK_ROWS = 64  # that leave the shuffle buffer at once
SHUFFLE_BYTES = 256_000_000  # of pictures in a worker's shuffle buffer, at most
_QUEUED_BATCHES = 4


class Rows(NamedTuple):
    """Pictures uint8[n, p, p], soft labels float32[n, k], weights float32[n]."""

    images: NDArray[np.uint8]
    soft: NDArray[np.float32]
    weights: NDArray[np.float32]

    def take(self, which: Any) -> "Rows":
        """Return the rows of these numbers."""
        return Rows(self.images[which], self.soft[which], self.weights[which])


def endless(
    one_pass: Callable[[], Iterable[Rows]], share: int, batch_size: int, start: int, capacity: int, seed: Sequence[int]
) -> Iterator[Rows]:
    """Return batches from pass after pass over a worker's `share` of rows; a batch may span two passes.

    `start`: how many rows were taken already. Each pass has an order of its own, drawn by the seed and its number.
    """
    first, skip = divmod(start, share)
    rest: Rows | None = None
    for number in count(first):
        seen = 0
        for part in shuffled(one_pass(), capacity, np.random.default_rng([*seed, number])):
            seen += len(part.weights)
            if number == first and seen <= skip:
                continue
            fresh = part.take(slice(max(0, len(part.weights) - (seen - skip)), None)) if number == first else part
            rest = fresh if rest is None else joined([rest, fresh])
            while len(rest.weights) >= batch_size:
                yield rest.take(slice(batch_size))
                rest = rest.take(slice(batch_size, None))
        if seen != share:
            raise RuntimeError(f"A pass over the frames gave {seen} rows to this worker, and {share} were due.")


def shuffled(parts: Iterable[Rows], capacity: int, random: np.random.Generator) -> Iterator[Rows]:
    """Return the rows in another order: each waits among `capacity` rows until chance, or the end, takes it out."""
    waiting: list[Rows] = []
    buffer: Rows | None = None
    for part in parts:
        if buffer is None:
            waiting.append(part)
            if sum(len(rows.weights) for rows in waiting) >= capacity:
                buffer, waiting = joined(waiting), []
            continue
        slots = random.choice(len(buffer.weights), size=len(part.weights), replace=False)
        yield buffer.take(slots)
        buffer.images[slots], buffer.soft[slots], buffer.weights[slots] = part
    buffer = joined(waiting) if waiting else buffer
    if buffer is not None:
        order = random.permutation(len(buffer.weights))
        for begin in range(0, len(order), CHUNK_ROWS):
            yield buffer.take(order[begin : begin + CHUNK_ROWS])


def shuffle_rows(pixels: int) -> int:
    """Return how many pictures a shuffle buffer holds."""
    return max(CHUNK_ROWS, SHUFFLE_BYTES // pixels**2)


class Feeder:
    """Takes batches from an iterator and changes their pictures in the background, a few ahead of the training.

    The changes of a step are drawn by the seed and the step's number, however many threads there are.
    """

    def __init__(
        self, batches: Iterator[Rows], first_step: int, how: Augmentation, seed: Sequence[int], threads: int
    ) -> None:
        self._batches, self._first = batches, first_step
        self._how, self._seed, self._threads = how, seed, threads
        self._queue: queue.Queue[Future[Rows] | BaseException] = queue.Queue(_QUEUED_BATCHES * threads)
        self._stop = threading.Event()

    def __enter__(self) -> Iterator[Rows]:
        threading.Thread(target=self._fetch, name="feeder", daemon=True).start()
        return self._each()

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _each(self) -> Iterator[Rows]:
        while True:
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            yield item.result()

    def _fetch(self) -> None:
        try:
            with ThreadPoolExecutor(self._threads, "feeder") as pool:
                for step, rows in enumerate(self._batches, self._first):
                    self._put(pool.submit(self._change, rows, step))
                    if self._stop.is_set():
                        return
        except BaseException as error:  # the training's thread raises it
            self._put(error)

    def _put(self, item: Future[Rows] | BaseException) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=0.5)
                return

    def _change(self, rows: Rows, step: int) -> Rows:
        if self._how == NONE:
            return rows
        return rows._replace(images=augment(rows.images, self._how, np.random.default_rng([*self._seed, step, 1])))


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts."""
    return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

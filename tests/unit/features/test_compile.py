"""librosa's functions are compiled by one process at a time: parts made by two at once do not fit together."""

import fcntl

import pytest

from emocore.features import article
from emocore.features import compile as compiled


def test_only_who_holds_the_lock_compiles(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled.tempfile, "gettempdir", lambda: str(tmp_path))
    calls = []

    def another_process_cannot(signal, sample_rate_hz):
        (path,) = tmp_path.iterdir()
        with path.open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        calls.append((signal.shape, sample_rate_hz))

    monkeypatch.setattr(article, "article_features", another_process_cannot)
    article.compile_features.cache_clear()
    article.compile_features()
    article.compile_features()
    article.compile_features.cache_clear()
    assert len(calls) == 1
    (path,) = tmp_path.iterdir()
    with path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and it is free again

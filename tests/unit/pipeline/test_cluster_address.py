"""An address of a cluster where nothing answers is said at once: Ray would ask for minutes."""

import socket
import time

import pytest

from emocore.errors import UserError
from emocore.pipeline import cluster


@pytest.fixture
def port():
    """A port of this machine on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_nothing_answers(port, form, monkeypatch):
    address = form.format(port)
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(cluster, "is_running", lambda: False)
    started = time.monotonic()
    with pytest.raises(UserError, match=f"Nothing answers at RAY_ADDRESS={address}.*unset RAY_ADDRESS"):
        cluster.connect()
    assert time.monotonic() - started < 5


def test_what_is_no_port_is_refused():
    with pytest.raises(UserError, match=r"RAY_ADDRESS=127\.0\.0\.1:notaport"):
        cluster.check_answers("127.0.0.1:notaport")


def test_what_answers_is_let_be():
    with socket.create_server(("127.0.0.1", 0)) as server:
        cluster.check_answers(f"127.0.0.1:{server.getsockname()[1]}")
    cluster.check_answers("auto")

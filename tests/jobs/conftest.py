"""Jobs as their users start them: what pages draw is left out."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def pages(undrawn):
    """Many pages are made, and none is looked at."""

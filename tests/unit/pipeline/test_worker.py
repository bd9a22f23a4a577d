"""When a training is over."""

import pytest

from emocore.models.network_settings import NetworkSettings
from emocore.pipeline.training.worker import Progress

SETTINGS = NetworkSettings(epochs=10, patience=3)


@pytest.mark.parametrize(
    ("epoch", "best", "over"),
    [(0, 0, False), (2, 0, False), (5, 3, False), (6, 3, True), (9, 8, False), (10, 10, True)],
)
def test_all_epochs_or_so_many_that_were_no_better(epoch, best, over):
    assert Progress(epoch=epoch, best_epoch=best).is_over(SETTINGS) == over

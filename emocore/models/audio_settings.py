"""How audio-conv1d is built and trained unless told otherwise: plain numbers, read without importing TensorFlow."""

from emocore.models.base import Settings

DEFAULTS: Settings = {
    "epochs": 80,
    "schedule_epochs": 80,
    "patience": 12,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "filters": 64,
    "dropout": 0.2,
}

"""emocore: emotions from voices and faces, for whole archives."""

import os

# Before anything imports TensorFlow, which fills the log otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"

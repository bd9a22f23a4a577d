"""emocore: emotions from voices and faces, for whole archives."""

__version__ = "0.1.0"

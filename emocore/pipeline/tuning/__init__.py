"""Settings, searched by Ray Tune."""

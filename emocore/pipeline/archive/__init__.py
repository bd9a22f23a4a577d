"""An archive in shards, each committed once."""

"""Published corpora, folders, manifests: what is there and what its names say."""

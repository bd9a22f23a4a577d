"""Files of networks: written whole, and looked through before Keras reads one of their weights."""

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.models.foreign import check_zip
from emocore.storage.files import write_bytes
from emocore.storage.local import scratch, writing

_WEIGHTS = "model.weights.h5"
MOST_BYTES = 2**28  # of all weights; face-cnn has 3.5 MB


def save_network(path: Path, network: Any, **options: Any) -> None:
    """Write a network as Keras does, which takes names of files only. Raises OutputError."""
    with scratch() as folder, writing(folder):
        network.save(folder / path.name, **options)
        content = (folder / path.name).read_bytes()
    write_bytes(path, content)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as .npy. Raises OutputError."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_bytes(path, content.getvalue())


def check_weights(path: Path) -> None:
    """Raise UserError unless a file is a zip of bounded size whose weights are bounded too.

    A dataset of HDF5 may be declared of any size and take no byte of the file.
    """
    check_zip(path)
    sizes: list[int] = []

    def measure(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(int(item.size or 0) * item.dtype.itemsize)

    try:
        with zipfile.ZipFile(path) as members, h5py.File(io.BytesIO(members.read(_WEIGHTS)), "r") as weights:
            weights.visititems(measure)
    except Exception as error:  # h5py raises what its readers happen to meet
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} holds no weights of ours ({cause}): use a bundle that you trust.") from error
    if sum(sizes) > MOST_BYTES:
        raise UserError(f"{path} has {sum(sizes):,} bytes of weights, {MOST_BYTES:,} at most are read: train it again.")

"""A trained frame network: grey pictures in, probabilities out; saved without pickle, loaded as weights alone."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from emocore.errors import UserError
from emocore.media.resize import fit_all
from emocore.models.catalogue import build_network, input_pixels, network_spec, outputs
from emocore.models.foreign import read_array, read_json
from emocore.models.keras.weights import check_weights, save_array, save_network
from emocore.models.network_settings import NetworkSettings
from emocore.storage.files import write_text

_BATCH = 64


class FrameNetwork:
    """A network, its name and settings, and the emotions bool[k] that its training showed it."""

    def __init__(self, name: str, settings: NetworkSettings, network: Any, known: NDArray[np.bool_]) -> None:
        self.name, self.settings, self.network, self.known = name, settings, network, known

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return float64[n, k] for grey pictures uint8[n, h, w]; each row sums to 1, an unknown emotion has 0.

        Pictures of another size are resized. A mirrored network sees each both ways, and gives the mean.
        """
        ready = fit_all(images, input_pixels(self.name, self.settings))
        values = self._shares(self._logits(ready))
        if network_spec(self.name).mirrored:
            values = (values + self._shares(self._logits(ready[:, :, ::-1]))) / 2
        return values

    def save(self, folder: Path) -> None:
        """Write model.keras (no optimizer), known.npy and settings.json."""
        save_network(folder / "model.keras", self.network, include_optimizer=False)
        save_array(folder / "known.npy", self.known)
        write_text(folder / "settings.json", json.dumps(dataclasses.asdict(self.settings), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read what `save` wrote. Raises UserError where model.keras holds other weights."""
        settings = NetworkSettings.from_json(read_json(folder / "settings.json"))
        known = read_array(folder / "known.npy", (len(settings.emotions),), bool)
        return cls(name, settings, load_keras(folder / "model.keras", name, settings), known)

    def _logits(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        # One shape of batch: TensorFlow's sums differ in the last bits with the batch's size.
        padded = np.concatenate([images, np.zeros((-len(images) % _BATCH, *images.shape[1:]), np.uint8)])
        parts = [
            np.asarray(self.network(padded[i : i + _BATCH, ..., None].astype(np.float32), training=False))
            for i in range(0, len(padded), _BATCH)
        ]
        nothing = np.zeros((0, len(outputs(self.name, self.settings))))
        return np.concatenate([nothing, *parts])[: len(images)].astype(np.float64)

    def _shares(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = [self.settings.emotions.index(emotion) for emotion in outputs(self.name, self.settings)]
        known = self.known[columns]
        shares = np.zeros((len(logits), len(self.settings.emotions)))
        if self.settings.output == "sigmoid":
            ones = np.where(known, expit(logits), 0.0)
            # Where no emotion is seen at all, each known one is as likely as any other.
            total = ones.sum(axis=1, keepdims=True)
            shares[:, columns] = np.divide(
                ones, total, out=np.tile(known / known.sum(), (len(logits), 1)), where=total > 0
            )
        else:
            shares[:, columns] = softmax(np.where(known, logits, -np.inf), axis=1)
        return shares


def load_keras(path: Path, name: str, settings: NetworkSettings) -> Any:
    """Return the network of that name with the file's weights. Raises UserError where there are none, or others."""
    if not path.is_file():
        raise UserError(f"{path} does not exist: give --base the model.keras of a trained face-cnn.")
    # Our own network takes the file's weights: of its layers, and of code in it, nothing is read.
    check_weights(path)
    network = build_network(name, settings)
    try:
        network.load_weights(path)
    except Exception as error:  # Keras raises what its readers happen to meet
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} is no {name} of ours ({cause}): use a bundle that you trust.") from error
    return network

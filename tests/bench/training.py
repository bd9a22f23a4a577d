"""Images a second of the training path with one worker, beside keras.Model.fit on the same pictures in memory.

python tests/bench/training.py [--pixels 256] [--images 384] [--rounds 3]
"""

import argparse
import dataclasses
import multiprocessing
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from emocore.labels import EMOTIONS
from emocore.models.augment import NONE
from emocore.models.catalogue import network_spec
from emocore.models.fitting import Recipe
from emocore.models.network_settings import NetworkSettings
from emocore.pipeline.training.distributed import FrameSource, fit_network
from emocore.schema import pictures_schema, rows_to_table
from emocore.storage.tables import write_table

EPOCHS = 4  # of a round; the first, which traces and opens, does not count
FILES = 4


def main() -> None:
    """Alternate the two, and print both and their ratio: medians of the rounds.

    keras.Model.fit is now and then half as fast again in a process: its best round is the stricter comparison.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("pixels", 256), ("images", 384), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    settings = dataclasses.replace(
        network_spec("cnn").settings,
        pixels=options.pixels,
        epochs=EPOCHS,
        steps_per_epoch=options.images // 32,
        augmentation=NONE,
    )
    with tempfile.TemporaryDirectory() as folder:
        source = _write(Path(folder), options.images, options.pixels)
        ours, theirs = [], []
        for number in range(options.rounds):
            history = fit_network(
                Recipe("cnn"), settings, source, FrameSource((), {}), Path(folder) / f"work-{number}"
            ).history
            ours.append(median(entry["images_a_second"] for entry in history[1:]))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                theirs.append(pool.apply(_keras, (settings, source)))
            print(
                f"round {number + 1}: Ray Train {ours[-1]:.1f}, keras.Model.fit {theirs[-1]:.1f} images/s", flush=True
            )
    ratio = median(one / other for one, other in zip(ours, theirs, strict=True))
    strict = median(ours) / max(theirs)
    print(
        f"Ray Train {median(ours):.1f}, keras.Model.fit {median(theirs):.1f} images/s, ratio {ratio:.2f}; "
        f"to the best round of keras.Model.fit, {max(theirs):.1f}, {strict:.2f}"
    )


def _write(folder: Path, n: int, pixels: int) -> FrameSource:
    rng, labels = np.random.default_rng(0), {}
    for file in range(FILES):
        rows = []
        for i in range(n // FILES):
            clip = f"{file}-{i}"
            labels[clip] = np.eye(8, dtype="f4")[i % len(EMOTIONS)]
            image = rng.integers(0, 256, (pixels, pixels)).astype("u1")
            rows.append({"clip": clip, "frame_index": 0, "time_seconds": 0.0, "state": "ok", "image": image})
        write_table(rows_to_table(rows, pictures_schema(pixels)), folder / "frames" / f"{file:06d}.parquet")
    return FrameSource((folder,), labels)


def _keras(settings: NetworkSettings, source: FrameSource) -> float:
    import keras  # noqa: PLC0415 - in a process of its own
    import pyarrow.parquet as pq  # noqa: PLC0415 - beside its use

    from emocore.models.catalogue import build_network  # noqa: PLC0415 - imports TensorFlow
    from emocore.models.keras.devices import use_cpu  # noqa: PLC0415 - imports TensorFlow

    use_cpu(2)  # as a worker has on two CPUs
    tables = [pq.read_table(path) for path in source.files()]
    images = np.concatenate([table["image"].combine_chunks().to_numpy_ndarray() for table in tables])
    soft = np.stack([source.labels[clip] for table in tables for clip in table["clip"].to_pylist()])
    network = build_network("cnn", settings)
    network.compile(
        keras.optimizers.Adam(1e-3), keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    x, seconds = images[..., None].astype("f4"), []
    for _ in range(EPOCHS):
        started = time.monotonic()
        network.fit(x, soft, batch_size=settings.batch_size, verbose=0)
        seconds.append(time.monotonic() - started)
    return len(x) / median(seconds[1:])


if __name__ == "__main__":
    main()

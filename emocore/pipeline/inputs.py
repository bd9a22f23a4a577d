"""The DATA of a command: feature tables as they are, corpora featurized on the way."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from emocore.corpora.catalogue import AUTO
from emocore.corpora.fingerprint import fingerprint
from emocore.corpora.listing import Listing
from emocore.corpora.scan import check_local
from emocore.datasets.examples import ArrayExamples, Some, is_features, load_examples, read_manifest, with_actors
from emocore.datasets.frames import FrameExamples, load_frame_examples, pictures_of
from emocore.datasets.selection import Channel, Media, select
from emocore.errors import UserError
from emocore.features.family import FeatureConfig, Inputs
from emocore.media.reading import Reading
from emocore.pipeline.featurize import featurize
from emocore.pipeline.options.corpus import CorpusOptions
from emocore.tracks.pictures import PictureConfig


@dataclass(frozen=True)
class Data:
    """The folders of feature tables, the corpora still to be featurized, and what names them all."""

    features: tuple[str, ...]
    corpora: tuple[str, ...]
    listing: Listing | None
    fingerprint: str


def find_data(paths: tuple[str, ...], options: CorpusOptions, inputs: Inputs) -> Data:
    """Tell feature tables from corpora, and list the latter. Raises UserError where a path is neither."""
    if not paths:
        raise UserError("No DATA given: name at least one corpus or folder of feature tables.")
    for path in paths:
        check_local(path)
    features = tuple(path for path in paths if is_features(path))
    corpora = tuple(path for path in paths if not is_features(path))
    for path in corpora:
        if (Path(path) / "config.json").exists() and (Path(path) / "clips").is_dir():
            raise UserError(f"{path} holds unfinished feature tables: repeat the command that made them.")
    told = {"--map": options.map, "--corpus": options.corpus != AUTO, "--exclude": options.exclude}
    if not corpora and any(told.values()):
        option = next(option for option, value in told.items() if value)
        raise UserError(f"{option} says how a corpus is read, and {paths[0]} is featurized already: leave it out.")
    listing = options.list(corpora, stills=inputs == "pictures") if corpora else None
    manifests = [read_manifest(path) for path in features]
    names = [f"{manifest['fingerprint']} {manifest['features_hash']}" for manifest in manifests]
    if inputs == "pictures":
        names += [json.dumps(pictures_of(path).to_json()) for path in features]
    names += [fingerprint(listing)] if listing else []
    return Data(features, corpora, listing, hashlib.sha256(" ".join(names).encode()).hexdigest()[:16])


def load_arrays(
    data: Data,
    out: Path,
    options: CorpusOptions,
    inputs: Inputs,
    channel: Channel,
    features: FeatureConfig | None = None,
) -> ArrayExamples:
    """Featurize the corpora into OUT/features, and load everything. `features`: what a bundle asks for."""
    if features is None:
        features = options.features(
            FeatureConfig(**read_manifest(data.features[0])["features"]) if data.features else None
        )
    elif features != options.features(features):
        raise UserError(
            f"The model was trained on features with {features}, other ones are asked for: leave out --level and "
            "--sample-rate-hz."
        )
    reading = Reading(seconds_per_file=options.seconds_per_file)
    folders = _featurize(data, out, options, channel, "audio", features, reading, mfcc=inputs == "frames")
    return _with_actors(load_examples(folders, inputs, channel, features), options)


def load_frames(
    data: Data, out: Path, options: CorpusOptions, channel: Channel, pictures: PictureConfig
) -> FrameExamples:
    """Featurize the corpora into OUT/features with these pictures, and load all clips that have some."""
    reading = Reading(**pictures.to_json(), sound=False, seconds_per_file=options.seconds_per_file)
    folders = _featurize(data, out, options, channel, "frames", options.features(), reading, mfcc=False)
    return _with_actors(load_frame_examples(folders, channel, pictures), options)


def _featurize(
    data: Data,
    out: Path,
    options: CorpusOptions,
    channel: Channel,
    media: Media,
    features: FeatureConfig,
    reading: Reading,
    mfcc: bool,
) -> list[str]:
    """Return all FEATURES folders, the last of them that of the corpora."""
    if data.listing is None:
        return list(data.features)
    folder = str(out / "features")
    pictures = {"every": reading.every, "pixels": reading.pixels, "faces": reading.faces} if reading.every else {}
    featurize(
        replace(data.listing, clips=select(data.listing.clips, channel=channel, media=media)),
        folder,
        features,
        mfcc=mfcc,
        reading=reading,
        options={"seed": options.seed, **pictures},
        max_failures=options.max_failures,
    )
    return [*data.features, folder]


def _with_actors(examples: Some, options: CorpusOptions) -> Some:
    return with_actors(examples, options.actor_from) if options.actor_from else examples

"""The DATA of a command: feature tables as they are, corpora featurized on the way."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emocore.corpora.catalogue import AUTO
from emocore.corpora.fingerprint import fingerprint
from emocore.corpora.listing import Listing
from emocore.corpora.scan import check_local
from emocore.datasets.examples import (
    Examples,
    check_families,
    check_finished,
    check_one_window,
    emotions_in,
    is_features,
    load_examples,
    read_manifest,
    with_actors,
)
from emocore.datasets.frames import load_frame_examples
from emocore.datasets.groups import tell_apart
from emocore.datasets.selection import Channel, Media, select
from emocore.datasets.windows import load_windows
from emocore.errors import UserError
from emocore.features.catalogue import families_of, find_family
from emocore.features.family import FeatureFamily, FrameInput
from emocore.labels import EMOTIONS
from emocore.models.base import ModelSpec
from emocore.pipeline.featurize import featurize
from emocore.pipeline.options.corpus import CorpusOptions
from emocore.timeline import AS_FAMILIES_SAY, HowCut, how_cut


@dataclass(frozen=True)
class Data:
    """The folders of feature tables, the corpora still to be featurized, and what names them all."""

    features: tuple[str, ...]
    corpora: tuple[str, ...]
    listing: Listing | None
    fingerprint: str


def find_data(
    paths: tuple[str, ...], options: CorpusOptions, spec: ModelSpec, emotions: tuple[str, ...] = EMOTIONS
) -> Data:
    """Tell feature tables from corpora, and list the latter. Raises UserError where a path is neither.

    `emotions`: those of corpora, where neither the options nor feature tables say.
    """
    if not paths:
        raise UserError("No DATA given: name at least one corpus or folder of feature tables.")
    check_one_window([find_family(name) for name in spec.reads])  # before hours of reading
    for path in paths:
        check_local(path)
    features = tuple(path for path in paths if is_features(path))
    corpora = tuple(path for path in paths if not is_features(path))
    for path in corpora:
        check_finished(path)
    if not corpora:
        _check_no_corpus(options, paths[0])
    emotions = emotions_in(features) if features else emotions
    listing = options.list(corpora, stills=spec.sees, emotions=emotions) if corpora else None
    if listing and features and listing.emotions != emotions:
        raise UserError(
            f"--emotions {' '.join(options.emotions)}: {features[0]} is labelled with {', '.join(emotions)}: leave "
            "--emotions out, or featurize that corpus again with it."
        )
    names = []
    for path in features:
        manifest = read_manifest(path)
        there = families_of(manifest["families"])
        wanted = [find_family(name) for name in spec.reads]
        check_families(path, [there.get(family.name, family) for family in wanted])
        names.append(f"{manifest['fingerprint']} {[there[family.name].hash() for family in wanted]}")
    names += [fingerprint(listing)] if listing else []
    told_emotions = listing.emotions if listing else emotions
    names += [",".join(told_emotions)] if told_emotions != EMOTIONS else []
    return Data(features, corpora, listing, hashlib.sha256(" ".join(names).encode()).hexdigest()[:16])


def _check_no_corpus(options: CorpusOptions, path: str) -> None:
    """Raise UserError for an option that says how a corpus is read, where there is none."""
    told = {
        "--map": options.map,
        "--corpus": options.corpus != AUTO,
        "--exclude": options.exclude,
        "--no-follow": options.no_follow,
        "--emotions": options.emotions,
        "--tier": options.tier,
    }
    if any(told.values()):
        option = next(option for option, value in told.items() if value)
        raise UserError(f"{option} says how a corpus is read, and {path} is featurized already: leave it out.")


def load_inputs(
    data: Data,
    out: Path,
    options: CorpusOptions,
    channel: Channel,
    families: Sequence[FeatureFamily],
    windows: bool = False,
) -> Examples:
    """Featurize the corpora into OUT/features for these families, and load everything that can be used.

    `windows`: those by which `label` answers too. Raises UserError where the data are feature tables, which lack them.
    """
    if windows and data.features:
        raise UserError(
            f"--clips-from windows reads media, and {data.features[0]} holds the first window of each clip: give the "
            "corpus."
        )
    sees = any(isinstance(family.reads, FrameInput) for family in families)
    folders = _featurize(data, out, options, channel, "frames" if sees else "audio", families)
    examples = load_frame_examples(folders, channel, families[0]) if sees else load_examples(folders, families, channel)
    if windows:
        (folder,) = _featurize(data, out, options, channel, "audio", families, how_cut())
        examples = replace(examples, windows=load_windows(folder, families, examples.clips))
    examples = with_actors(examples, options.actor_from) if options.actor_from else examples
    return replace(examples, clips=tell_apart(examples.clips))


def heard_families(
    data: Data, options: CorpusOptions, spec: ModelSpec, of_run: Mapping[str, FeatureFamily]
) -> list[FeatureFamily]:
    """Return the families of sound that a model reads: as a RUN has them, else as options or feature tables say.

    Raises UserError where the options ask for other ones than the RUN has.
    """
    if of_run:
        found = [of_run[find_family(name).name] for name in spec.reads]
        for family in found:
            if options.heard(family) != family:
                raise UserError(
                    f"The model was trained on {family.name} of {family.reads}, other ones are asked for: leave out "
                    "--level and --sample-rate-hz."
                )
        return found
    there = families_of(read_manifest(data.features[0])["families"]) if data.features else {}
    wanted = [find_family(name) for name in spec.reads]
    return [options.heard(there.get(family.name, family)) for family in wanted]


def _featurize(
    data: Data,
    out: Path,
    options: CorpusOptions,
    channel: Channel,
    media: Media,
    families: Sequence[FeatureFamily],
    how: HowCut = AS_FAMILIES_SAY,
) -> list[str]:
    """Return all FEATURES folders, the last of them that of the corpora."""
    if data.listing is None:
        return list(data.features)
    folder = str(out / ("features" if how == AS_FAMILIES_SAY else "windows"))
    featurize(
        replace(data.listing, clips=select(data.listing.clips, channel=channel, media=media)),
        folder,
        families,
        options={"seed": options.seed},
        seconds_per_file=options.seconds_per_file,
        max_failures=options.max_failures,
        how=how,
    )
    return [*data.features, folder]

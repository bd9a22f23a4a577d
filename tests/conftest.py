"""What the Ray and job tests share: one Ray session, a small generated corpus, its features, and a trained bundle."""

import importlib.util
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from hypothesis import settings
from markupsafe import Markup

from emocore.corpora.listing import list_corpora
from emocore.corpora.synthetic.corpus import DemoSettings, plan, write_clip
from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.pipeline import cluster as ray_cluster
from emocore.pipeline.featurize import featurize
from emocore.pipeline.runs import train

ROOT = Path(__file__).parents[1]
TESTS = Path(__file__).parent

# A test's first example pays for imports, and a busy machine for others: neither is a fault. A failure repeats.
settings.register_profile("emocore", deadline=None, derandomize=True)
settings.load_profile("emocore")

# A shell starts what runs behind it deaf to SIGINT, and children inherit that: the tests of Ctrl-C would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def undrawn():
    """Leave the plots of pages out, which takes a third of a second a page: they have tests of their own."""
    from emocore.reports import plots, search_plots  # noqa: PLC0415 - Matplotlib, for those who make pages

    with pytest.MonkeyPatch.context() as patch:
        for module in (plots, search_plots):
            patch.setattr(module, "_svg", lambda _, name: Markup("<svg id='{}'></svg>").format(name))
        yield


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def cluster():
    ray_cluster.connect()
    yield
    ray.shutdown()


def _generate(folder, actors):
    for clip in plan(DemoSettings(actors=max(actors), video=False)):
        if clip.actor in actors and clip.intensity == "normal":
            write_clip(clip, folder)
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """64 wav files: actors 1 to 4, eight emotions, two statements."""
    return _generate(tmp_path_factory.mktemp("corpus"), {1, 2, 3, 4})


@pytest.fixture(scope="session")
def newcomer(tmp_path_factory):
    """16 wav files of actor 5, whom `bundle` never heard."""
    return _generate(tmp_path_factory.mktemp("newcomer"), {5})


@pytest.fixture(scope="session")
def features_of(cluster):
    """Featurize a corpus in this process."""

    def run(corpus, out, *, frames=False, max_failures=None, families=(ARTICLE,), **options):
        families = [*families, *([ARTICLE_FRAMES] if frames else [])]
        return featurize(list_corpora([str(corpus)]), str(out), families, options=options, max_failures=max_failures)

    return run


@pytest.fixture(scope="session")
def features(corpus, features_of, tmp_path_factory):
    """The corpus's feature tables, with MFCC frames. Read only."""
    out = tmp_path_factory.mktemp("features") / "F"
    features_of(corpus, out, frames=True)
    return out


@pytest.fixture(scope="session")
def bundle(features, job_modules, tmp_path_factory):
    """The RUN of an svc trained on the whole corpus. Read only."""
    out = tmp_path_factory.mktemp("bundle") / "RUN"
    train(job_modules["train"].Train(data=(str(features),), out=str(out), model="svc"))
    return out


@pytest.fixture(scope="session")
def job_modules():
    """jobs/*.py, imported under names of their own."""
    modules = {}
    for path in sorted((ROOT / "jobs").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"emocore_job_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        modules[path.stem] = module
    return modules


@pytest.fixture
def job(job_modules, monkeypatch, capsys):
    """Run a job as `python jobs/NAME.py ARGUMENTS` would, but in this process and its Ray session."""

    def run(name, *arguments):
        module = job_modules[name]
        monkeypatch.setattr(sys, "argv", [f"jobs/{name}.py", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            module.run_job(getattr(module, name.capitalize()), module.main)
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return run


class Here:
    """The session of a worker that trains in this process, with nobody, on the frames that Ray Data streams."""

    rank = 0

    def __init__(self, data, progress):
        from emocore.pipeline.training.epoch_log import Reporter  # noqa: PLC0415 - where a network is trained

        self.data, self.reporter = data, Reporter(progress)

    def strategy(self, _):
        import tensorflow as tf  # noqa: PLC0415 - where a network is trained

        return tf.distribute.get_strategy()

    def shard(self, name):
        return self.data[name]

    def broadcast(self, value):
        return value

    def report(self, figures, checkpoint):
        self.reporter.after_report(None, [figures], checkpoint)


@contextmanager
def training_here():
    """Have this process train a network itself: Ray Train starts seven processes for a second of learning."""
    from emocore.pipeline.training import distributed  # noqa: PLC0415 - where a network is trained
    from emocore.pipeline.training.worker import train_epochs  # noqa: PLC0415 - as above

    def trainer(task, data, _, work):
        session = Here(data, work / distributed._PROGRESS)
        return SimpleNamespace(fit=lambda: SimpleNamespace(return_value=train_epochs(task, session)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "_trainer", trainer)
        yield


@pytest.fixture
def trains_here():
    """Train in this process while one test runs."""
    with training_here():
        yield


@pytest.fixture(scope="session")
def training_in_process():
    """Give `training_here`, for fixtures that outlast a test."""
    return training_here

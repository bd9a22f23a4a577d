"""The README's five steps from a laptop to a cluster, as they stand there, on a job server of this test's own."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # Ray brings it along; conftest.py has imported Ray
import pyarrow.parquet as pq
import pytest

from emocore.storage.files import read_json

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.cluster
MARK = "EMOCORE_TEST_SERVER"  # in the environment of all that this test starts, and of nothing else


def readme_steps():
    """The export line's variables, and the five commands, of the README's section."""
    section = (ROOT / "README.md").read_text().split("## From a laptop to a cluster")[1].split("\n## ")[0]
    export, *steps = section.split("```")[1].strip().splitlines()
    return dict(pair.split("=", 1) for pair in export.split()[1:]), steps


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def started_here(mark):
    """The processes that carry the mark: ours, wherever Ray has moved them to."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            pass
    return found


def finished(process):
    """The exit code and the output, without colours."""
    out, _ = process.communicate(timeout=150)
    return process.returncode, re.sub(r"\x1b\[[0-9;]*m", "", out)


@dataclass
class Laptop:
    """A home folder, a shared folder, the README's steps in its order, and what each of them said."""

    folder: Path
    env: dict[str, str]
    steps: list[str]
    address: str
    said: list[str] = field(default_factory=list)
    server: subprocess.Popen | None = None

    @property
    def shared(self):
        return self.folder / "shared"

    @property
    def token_file(self):
        return self.folder / "home" / ".ray" / "auth_token"

    def start(self, command, **env):
        return subprocess.Popen(
            command.replace("/shared", str(self.shared)),
            shell=True,
            cwd=ROOT,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def walk(self, server_options):
        """Take the steps one after the other, and submit the last two side by side; the server stays, as it would."""
        *first, job, other = self.steps
        for step in first:
            if step.startswith("ray start "):
                self.said.append("")
                self.serve(f"exec {step}{server_options}")
                continue
            # `make install` would have put the checkout on Python's path; the jobs have their working directory.
            self.hear(step, self.start(step, **({"PYTHONPATH": str(ROOT)} if step.startswith("python ") else {})))
        for step, process in [(step, self.start(step)) for step in (job, other)]:
            self.hear(step, process)

    def hear(self, step, process):
        code, out = finished(process)
        assert code == 0, f"{step}\n{out}"
        self.said.append(out)

    def serve(self, command):
        log = self.folder / "server.log"
        with log.open("w") as stream:
            self.server = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self.env,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        until = time.monotonic() + 60
        while self.status_of("/api/version", self.token_file.read_text()) != 200:
            assert self.server.poll() is None and time.monotonic() < until, log.read_text()
            time.sleep(0.2)

    def status_of(self, path, token):
        """The HTTP status of the job server's answer; None while it does not answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.env["RAY_API_SERVER_ADDRESS"] + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None


@pytest.fixture(scope="module")
def laptop(corpus, tmp_path_factory):
    """A laptop on which the five steps have been taken, in the README's order; at the end nothing of it is left."""
    exports, steps = readme_steps()
    folder = tmp_path_factory.mktemp("laptop")
    (folder / "home").mkdir()
    for path in corpus.glob("Actor_0[12]/*-01-01-??.wav"):  # one statement of two actors: 16 of the 64 files
        copy = folder / "shared" / "corpus" / path.relative_to(corpus)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    short = tempfile.mkdtemp(prefix="emo-")  # a socket's path has at most 107 bytes
    port, dashboard, client, agent = free_ports(4)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
    env |= exports | {
        "HOME": str(folder / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_API_SERVER_ADDRESS": exports["RAY_API_SERVER_ADDRESS"].replace("8265", str(dashboard)),
        MARK: short,
    }
    laptop = Laptop(folder, env, steps, f"127.0.0.1:{port}")
    try:
        laptop.walk(
            f" --node-ip-address=127.0.0.1 --port={port} --ray-client-server-port={client} --dashboard-port={dashboard}"
            f" --dashboard-agent-listen-port={agent} --min-worker-port=0 --max-worker-port=0 --num-cpus=2"
            f" --object-store-memory=200000000 --temp-dir={short} --disable-usage-stats"
        )
        yield laptop
        laptop.server.send_signal(signal.SIGINT)  # Ctrl-C, as step 3 says
        laptop.server.wait(timeout=60)
    finally:
        left = started_here(short)
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=10)
        shutil.rmtree(short, ignore_errors=True)


def said_by_job(out):
    """A job's own lines among those of `ray job submit`, which begin with a time."""
    lines = out.split("Running entrypoint for job")[1].splitlines()[1:]
    return [line for line in lines if line and not re.match(r"\d{4}-\d\d-\d\d ", line)]


def predictions(run):
    return pq.read_table(run / "predictions.parquet")


def test_the_readme_has_five_steps_in_both_forms_of_submission():
    exports, steps = readme_steps()
    assert (exports["RAY_AUTH_MODE"], exports["RAY_USAGE_STATS_ENABLED"], len(steps)) == ("token", "0", 5)
    assert [step.split(" jobs/")[0] for step in (steps[0], *steps[3:])] == [
        "python",
        "ray job submit --working-dir . -- python",
        "ray job submit --working-dir . --",
    ]
    assert steps[1].startswith("ray get-auth-token ") and steps[2].startswith("ray start ")
    assert steps[3].split(" -- ")[1].split(" --out ")[0] == steps[0].split(" --out ")[0]


def test_jobs_end_as_the_command_does_and_predict_the_same(laptop):
    here, job, other = (laptop.shared / laptop.steps[i].split("/shared/")[-1] for i in (0, 3, 4))
    figures, report = laptop.said[0].splitlines()[-2:]
    assert report == f"{here}/report.html"
    for i, run in ((3, job), (4, other)):
        *_, its_figures, its_report = said_by_job(laptop.said[i])
        model = laptop.steps[i].split(" --model ")[1].split()[0]
        assert its_report == f"{run}/report.html" and its_figures.startswith(model)
        assert (its_figures == figures) is (run is job)
        assert {"config.json", "metrics.json", "predictions.parquet", "report.html", "model"} <= {
            path.name for path in run.iterdir()
        }
    assert predictions(job).equals(predictions(here))
    assert read_json(job / "config.json") == read_json(here / "config.json")


def test_a_mistake_reaches_the_submitter_as_its_sentence(laptop):
    submit = "ray job submit --working-dir . -- jobs/train.py /shared/corpus"
    mistakes = {
        f"{submit} --model svm --out /shared/R": "--model 'svm' is unknown: choose one of ",
        f"{submit} --model svc --out runs/as-a-job": "/as-a-job lies in the job's copy of the working directory",
    }
    submitted = [(laptop.start(command), words) for command, words in mistakes.items()]
    for process, words in submitted:
        code, out = finished(process)
        assert code == 1 and "failed with exit code 2" in out  # the job's own code; Ray's is 0 or 1
        sentence = said_by_job(out)
        assert out.index(words) < out.index("failed with exit code 2")
        assert len(sentence) == 1 and words in sentence[0] and sentence[0].endswith(".")
    assert not (laptop.shared / "R").exists() and not (ROOT / "runs" / "as-a-job").exists()


def test_nothing_is_submitted_without_the_token(laptop, tmp_path):
    assert stat.S_IMODE(laptop.token_file.stat().st_mode) == 0o600
    code, out = finished(laptop.start(laptop.steps[4], HOME=str(tmp_path), RAY_AUTH_MODE="disabled"))
    assert code != 0 and "Token authentication is enabled" in out and "submitted successfully" not in out, out
    assert laptop.status_of("/api/jobs/", None) == 401
    assert laptop.status_of("/api/jobs/", "0" * 64) == 403
    assert laptop.status_of("/api/jobs/", laptop.token_file.read_text()) == 200


def test_a_job_that_joins_without_the_token_is_told_so_in_seconds(laptop, tmp_path):
    told = {"HOME": str(tmp_path), "RAY_AUTH_MODE": "disabled", "RAY_ADDRESS": laptop.address, "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    code, out = finished(laptop.start("python jobs/featurize.py /shared/corpus --out /shared/F", **told))
    sentence = f"The cluster at RAY_ADDRESS={laptop.address} does not let this process in (ConnectionError): set RAY_"
    assert code == 2 and out.splitlines()[-1].startswith(sentence), out
    assert time.monotonic() - started < 20

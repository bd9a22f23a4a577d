"""cluster.yaml: Ray takes it, it installs what pyproject.toml and constraints.txt say, and it keeps to its limits."""

import os
import re
import shutil
import subprocess
import tomllib
from copy import deepcopy
from pathlib import Path
from zipfile import ZipFile

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from ray._private.runtime_env.packaging import create_package
from ray._private.runtime_env.working_dir import upload_working_dir_if_needed
from ray.autoscaler._private.util import hash_runtime_conf, prepare_config, validate_config

ROOT = Path(__file__).parents[2]
AS_WRITTEN = yaml.safe_load((ROOT / "cluster.yaml").read_text())
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
COPIED = {"pyproject.toml", "constraints.txt", "~/.ray/auth_token"}


@pytest.fixture(scope="module")
def config():
    """What `ray up` makes of the file, short of asking AWS."""
    prepared = prepare_config(deepcopy(AS_WRITTEN))
    validate_config(prepared)
    return prepared


def setup_of(config, node_type):
    if node_type == config["head_node_type"]:
        return config["head_setup_commands"]
    return config["available_node_types"][node_type].get("worker_setup_commands", config["worker_setup_commands"])


def test_ray_s_schema_refuses_what_it_does_not_know(config):
    with pytest.raises(jsonschema.ValidationError, match="idle_minutes"):
        validate_config({**config, "idle_minutes": 5})


@pytest.mark.parametrize(
    ("node_type", "extras"),
    [
        ("head", ["cpu", "encoder", "cpu", "cluster"]),
        ("cpu", ["cpu", "encoder"]),
        ("gpu", ["gpu", "encoder"]),
    ],
)
def test_every_node_installs_the_pinned_versions_with_its_extra(config, node_type, extras):
    commands = "\n".join(setup_of(config, node_type))
    assert re.findall(r"--extra (\S+)", commands) == extras and set(extras) <= set(EXTRAS)
    installs = [command for command in setup_of(config, node_type) if " install " in command]
    for command in installs:
        assert "-c ~/emocore/constraints.txt" in command
    for command in installs[1:]:
        assert "-r ~/emocore/pyproject.toml" in command and "--compile-bytecode" in command
    assert "emocore/venv/bin:$PATH" in commands  # where a job's `python` and `python3` are found


def test_every_requirement_of_every_extra_is_pinned_and_no_host_is_named():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {Requirement(line).name for line in lines if not line.startswith("#")}
    wanted = {Requirement(text).name for texts in EXTRAS.values() for text in texts}
    assert wanted <= pins and {"ray", "aiohttp"} <= pins
    assert all("://" not in line and not line.startswith("-") for line in lines)


def test_only_three_small_files_are_copied_to_the_nodes(config, tmp_path):
    mounts = config["file_mounts"]
    assert set(mounts.values()) == COPIED
    for there, here in mounts.items():
        assert Path(there).name == Path(here).name
        assert here.startswith("~") or (ROOT / here).stat().st_size < 100_000
    (tmp_path / "token").write_text("secret")
    there = {name: str(tmp_path / "token" if here.startswith("~") else ROOT / here) for name, here in mounts.items()}
    assert all(hash_runtime_conf(there, [], config, generate_file_mounts_contents_hash=True))  # as `ray up` reads them


def test_workers_are_spot_machines_with_limits_and_the_head_is_not(config):
    types = config["available_node_types"]
    assert set(types) == {"head", "cpu", "gpu"} and config["head_node_type"] == "head"
    head, cpu, gpu = types["head"], types["cpu"], types["gpu"]
    assert "InstanceMarketOptions" not in head["node_config"]
    assert (head["min_workers"], head["max_workers"]) == (0, 0)  # workers of the head's type
    for worker in (cpu, gpu):
        market = worker["node_config"]["InstanceMarketOptions"]
        assert market["MarketType"] == "spot" and float(market["SpotOptions"]["MaxPrice"]) > 0
        assert worker["min_workers"] == 0 < worker["max_workers"] <= config["max_workers"]
    assert cpu["max_workers"] + gpu["max_workers"] == config["max_workers"]
    assert config["idle_timeout_minutes"] > 0
    assert [kind["resources"].get("GPU", 0) for kind in (head, cpu, gpu)] == [0, 0, 1]
    assert len({kind["resources"]["CPU"] for kind in types.values()}) == 1
    assert gpu["node_config"]["ImageId"] is AS_WRITTEN["metadata"]["gpu_image"]


def test_every_node_asks_for_the_token(config):
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        starts = [command for command in commands if " ray start " in command]
        assert len(starts) == 1 and "RAY_AUTH_MODE=token ray start " in starts[0]
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]


def test_what_must_be_changed_stands_above_the_rest():
    lines = (ROOT / "cluster.yaml").read_text().splitlines()
    marked = [i for i, line in enumerate(lines) if "CHANGE" in line]
    assert marked and marked[-1] < lines.index("auth:")


def test_the_commands_are_bash(config):
    commands = [*config["initialization_commands"], *config["head_start_ray_commands"]]
    commands += [command for node_type in config["available_node_types"] for command in setup_of(config, node_type)]
    for command in [*commands, *config["worker_start_ray_commands"]]:
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_only_the_code_travels_with_the_working_directory(tmp_path):
    checkout = tmp_path / "checkout"
    caches = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "runs", "*.egg-info")
    shutil.copytree(ROOT, checkout, ignore=caches)
    parts = [path for part in ("emocore", "jobs") for path in (checkout / part).rglob("*")]
    code = {str(path.relative_to(checkout)) for path in parts if path.is_file()}
    for name in (
        ".venv/lib/python3.12/big.so",
        ".git/objects/pack/pack-0",
        "runs/svc/metrics.json",
        "ravdess/Actor_01/03-01-01-01-01-01-01.wav",
        "archive.zip",
        "features/clips/part-0.parquet",
        "meine Aufnahmen/a.mp4",
        "emocore/__pycache__/cli.cpython-312.pyc",
        "jobs.zip",
        ".env",
    ):
        file = checkout / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    os.truncate(checkout / "archive.zip", 600 * 2**20)  # more than Ray takes; sparse
    package = tmp_path / "package.zip"

    def upload(working_dir, excludes, is_file=False):
        create_package(working_dir, package, include_gitignore=True, excludes=excludes)

    upload_working_dir_if_needed({"working_dir": str(checkout)}, include_gitignore=True, upload_fn=upload)
    with ZipFile(package) as archive:
        modes = {file.filename: file.external_attr >> 16 for file in archive.infolist() if not file.is_dir()}
    assert set(modes) == code
    assert all(mode & 0o111 for name, mode in modes.items() if name.startswith("jobs/"))
    assert package.stat().st_size < 10 * 2**20  # most of it the shipped weights

"""ray_cluster.yaml as Ray's own launcher reads it, without contacting AWS.

prepare_config fills in defaults from files that come with Ray; bootstrap_config, which contacts
AWS, is never called here.
"""

from __future__ import annotations

import copy
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import cli as ray_cli
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
IMAGE = re.compile(
    r"rayproject/ray:(?P<ray>[\d.]+)-py(?P<major>\d)(?P<minor>\d+)-(?P<kind>cpu|gpu)"
)


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    return YAML(typ="safe").load(ROOT / "ray_cluster.yaml")


@pytest.fixture(scope="module")
def cluster(written: dict[str, Any]) -> dict[str, Any]:
    return prepare_config(copy.deepcopy(written))  # it changes its argument


def _pinned(package: str) -> str:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(package)}==(\S+)$", pins, re.MULTILINE)
    assert found, f"constraints.txt does not pin {package}"
    return found[1]


def _head(cluster: dict[str, Any]) -> dict[str, Any]:
    return cluster["available_node_types"][cluster["head_node_type"]]


def _workers(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    types = cluster["available_node_types"]
    return [types[name] for name in types if name != cluster["head_node_type"]]


def test_cluster_file_is_valid_for_ray(cluster: dict[str, Any]) -> None:
    validate_config(cluster)


def test_cluster_file_with_a_misspelt_field_is_invalid(written: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepare_config({**copy.deepcopy(written), "idle_timeout": 5}))


@pytest.mark.parametrize(("node", "kind"), [("head_image", "cpu"), ("worker_image", "gpu")])
def test_image_has_the_pinned_versions_of_ray_and_python(
    cluster: dict[str, Any], node: str, kind: str
) -> None:
    image = IMAGE.fullmatch(cluster["docker"][node])
    assert image, cluster["docker"][node]
    assert image["ray"] == _pinned("ray")
    assert image["kind"] == kind
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"{image['major']}.{image['minor']}" in SpecifierSet(project["requires-python"])


def test_workers_are_spot_instances_with_a_gpu_and_none_at_first(cluster: dict[str, Any]) -> None:
    workers = _workers(cluster)
    assert workers
    for worker in workers:
        assert worker["min_workers"] == 0
        assert 0 < worker["max_workers"] <= cluster["max_workers"]
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert worker["node_config"]["InstanceType"].startswith(
            ("g4", "g5", "g6", "p3", "p4", "p5")
        )


def test_head_is_an_on_demand_instance_without_a_gpu(cluster: dict[str, Any]) -> None:
    head = _head(cluster)
    assert head["max_workers"] == 0
    assert head["resources"].get("GPU", 0) == 0
    assert not head["node_config"]["InstanceType"].startswith(("g", "p"))
    assert "InstanceMarketOptions" not in head["node_config"]


def test_servers_on_the_head_listen_on_its_loopback_address_only(cluster: dict[str, Any]) -> None:
    commands = " ".join(cluster["head_start_ray_commands"])
    assert "0.0.0.0" not in commands
    assert "--dashboard-host=127.0.0.1" in commands
    assert "mlflow server --host 127.0.0.1" in commands


def test_nodes_install_a_fixed_commit_with_the_constraints(cluster: dict[str, Any]) -> None:
    for commands in (cluster["head_setup_commands"], cluster["worker_setup_commands"]):
        (install,) = [command for command in commands if "pip install" in command]
        assert "-c constraints.txt" in install
        (checkout,) = [command for command in commands if "checkout" in command]
        assert re.search(r"(v\d+\.\d+\.\d+|[0-9a-f]{40})$", checkout), (
            "neither a tag of a version nor a commit"
        )


def test_mounted_folders_exist(cluster: dict[str, Any]) -> None:
    for local in cluster["file_mounts"].values():
        assert (ROOT / local).is_dir()


def _documented_ray_commands() -> list[str]:
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("ray ")]


def test_every_step_is_documented() -> None:
    named = {line.split()[1] for line in _documented_ray_commands()}
    assert {"up", "exec", "attach", "dashboard", "rsync-down", "down"} <= named


@pytest.mark.parametrize("line", _documented_ray_commands())
def test_documented_command_is_parsed_by_ray(line: str) -> None:
    """Ray's own parser takes the command and its options; nothing is run."""
    _, name, *arguments = shlex.split(line, comments=True)
    ray_cli.commands[name].make_context(name, arguments)

"""Joining a Ray cluster: which addresses are refused, and what is said of the cluster."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray._private import services
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from small_trials import complaint
from study_commands import sets, wait_for_line

from concepthash.spec import ResourcesSpec
from concepthash.study.cluster import check_workers, describe_cluster, find_cluster, missing
from concepthash.study.ray_session import ray_session

HERE = services.get_node_ip_address()
"""Ray takes a loopback address for that of the network."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Ray head of one processor, its files in a short path: sockets take no longer one."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": f"{folder}/ray"}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server((HERE, 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def web_port() -> Iterator[int]:
    """A web server."""
    with http.server.ThreadingHTTPServer((HERE, 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("address", ["", "nonsense", "host:nonsense"])
def test_an_address_is_host_and_port(address):
    assert complaint(find_cluster, address) == (
        f"--address {address}: should be host:port, or auto"
    )


def test_a_study_does_not_run_through_the_client_of_ray():
    assert "start it on a node of the cluster" in complaint(find_cluster, "ray://head:10001")


def test_an_address_where_no_ray_answers_is_refused_within_seconds(silent_port, web_port):
    with socket.socket() as closed:
        closed.bind((HERE, 0))  # nobody listens
        addresses = {
            f"{HERE}:{closed.getsockname()[1]}": "Connection refused",
            f"{HERE}:{silent_port}": "timed out",
            f"{HERE}:{web_port}": "what answers there is no Ray",
        }
        before = time.monotonic()
        for address, reason in addresses.items():
            assert complaint(find_cluster, address).startswith(
                f"--address {address}: no Ray cluster to be used ({reason}"
            )
    assert time.monotonic() - before < 10


def test_a_cluster_of_other_versions_is_refused(cluster):
    client = GcsClient(address=cluster.address)
    key, namespace = b"CLUSTER_METADATA", b"cluster"
    ours = client.internal_kv_get(key, namespace=namespace)
    for version in ({"ray_version": "2.9.3"}, {"python_version": "3.8.1"}):
        theirs = json.dumps(json.loads(ours) | version).encode()
        client.internal_kv_put(key, theirs, True, namespace=namespace)
        try:
            line = complaint(find_cluster, cluster.address)
        finally:
            client.internal_kv_put(key, ours, True, namespace=namespace)
        assert f"--address {cluster.address}: is a cluster of Ray" in line
        assert next(iter(version.values())) in line
    assert find_cluster(cluster.address) == cluster.address


def test_a_cluster_is_introduced_before_the_first_trial_and_says_what_it_lacks(cluster):
    said: list[str] = []
    with ray_session(cluster.address, said.append):
        assert said == [describe_cluster(cluster.address)]
        assert "1 node with 1 CPU and 0 GPU" in said[0]
        assert f"Ray {ray.__version__}" in said[0]
        check_workers(cluster.address)
        assert missing(ResourcesSpec(cpu=1, gpu=2)) == (
            "a trial needs 1 CPU and 2 GPU, the cluster has 1 CPU and 0 GPU:"
            " no node has so many GPU"
        )
        assert missing(ResourcesSpec(cpu=8)).endswith("no node has so many CPU")
        assert missing(ResourcesSpec(cpu=1)).endswith("others occupy it")


def test_a_cluster_whose_workers_lack_what_a_trial_needs_is_refused(monkeypatch, tmp_path):
    """Somebody else's Ray: its workers see other packages."""
    monkeypatch.chdir(tmp_path)
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:
        Path(folder, "torch").mkdir()
        Path(folder, "torch", "__init__.py").write_text("raise ImportError('no torch here')")
        monkeypatch.setenv("PYTHONPATH", folder)
        head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": f"{folder}/ray"}
        foreign = Cluster(initialize_head=True, head_node_args=head)
        address = foreign.address
        monkeypatch.delenv("PYTHONPATH")
        try:
            line = complaint(ray_session(address, print).__enter__)
        finally:
            foreign.shutdown()
    assert f"--address {address}: its workers cannot load concepthash-study" in line
    assert "no torch here" in line


def test_a_run_that_waits_says_after_30_s_what_is_missing(cluster, workplace):
    run = workplace.start(
        *("run", workplace.file, "--address", cluster.address), *sets("resources.gpu=1")
    )
    wait_for_line(run, f"Ray cluster {cluster.address}: Ray {ray.__version__}, Python")
    lack = "a trial needs 1 CPU and 1 GPU, the cluster has 1 CPU and 0 GPU: no node has so many GPU"
    wait_for_line(run, f"no trial has started for 30 s: {lack}")
    run.terminate()
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 143
    assert "Traceback" not in output

"""A running Ray cluster: whether it answers, what it has, whether it can train our trials."""

from __future__ import annotations

import json
import platform
import socket
from collections.abc import Mapping

import concepthash.study.ray_settings  # noqa: F401

# isort: split
import ray
from ray._private import services
from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
from ray.exceptions import GetTimeoutError, RayError

from concepthash import __version__
from concepthash.errors import InputError
from concepthash.spec import ResourcesSpec

_ANSWER_WITHIN_S = 5.0
_WORKER_WITHIN_S = 60.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""How a client of HTTP/2, which Ray's servers speak, begins (RFC 9113, 3.4), with no settings."""
_SETTINGS = 4
"""The type of the first frame that such a server sends."""


def find_cluster(address: str) -> str:
    """`host:port` of a cluster that answers and has our versions of Ray and Python.

    `address` is `auto`, for the one that runs on this machine, or host:port. Raises InputError
    within some 10 s.
    """
    if address.startswith("ray://"):
        raise InputError(
            f"--address {address}: a study does not run through Ray's client; start it on a node"
            " of the cluster, with --address auto or host:port"
        )
    try:
        found = services.canonicalize_bootstrap_address_or_die(address)
        host, port = found.rsplit(":", 1)
        with socket.create_connection((host.strip("[]"), int(port)), _ANSWER_WITHIN_S) as probe:
            probe.sendall(_PREFACE)
            first = probe.recv(9)
    except (ValueError, OverflowError):
        raise InputError(f"--address {address}: should be host:port, or auto") from None
    except OSError as error:  # no such host, nobody there, no answer in time
        raise _unusable(address, error.strerror or _first_line(error)) from None
    if len(first) < 4 or first[3] != _SETTINGS:
        raise _unusable(address, "what answers there is no Ray")
    try:
        client = GcsClient(address=found)
        metadata = client.internal_kv_get(
            b"CLUSTER_METADATA", namespace=KV_NAMESPACE_CLUSTER, timeout=_ANSWER_WITHIN_S
        )
    except (RayError, RuntimeError) as error:
        raise _unusable(found, _first_line(error)) from None
    if metadata is None:
        raise _unusable(found, "what answers there is no head of a Ray cluster")
    _refuse_other_versions(found, json.loads(metadata))
    return str(found)


def _refuse_other_versions(address: str, cluster: Mapping[str, str]) -> None:
    ours = {"Ray": ray.__version__, "Python": platform.python_version()}
    theirs = {"Ray": cluster["ray_version"], "Python": cluster["python_version"]}
    if ours != theirs:
        raise InputError(
            f"--address {address}: is a cluster of Ray {theirs['Ray']} and Python"
            f" {theirs['Python']}, but this is Ray {ours['Ray']} and Python {ours['Python']};"
            " both must have the same"
        )


def describe_cluster(address: str) -> str:
    """Which cluster this is: its address, versions and resources. Needs a connection."""
    nodes = sum(bool(node["Alive"]) for node in ray.nodes())
    return (
        f"Ray cluster {address}: Ray {ray.__version__}, Python {platform.python_version()},"
        f" {nodes} node{'' if nodes == 1 else 's'} with {_had(ray.cluster_resources())}"
    )


@ray.remote(num_cpus=0, max_retries=0)
def _version_of_worker() -> str:
    import concepthash.study.trainable  # noqa: F401  with all that a trial needs

    return __version__


def check_workers(address: str) -> None:
    """Raises InputError if a worker of the cluster cannot load this project, or has another one.

    A cluster that has no worker for it within a minute may still get one: that is no error.
    """
    try:
        version = ray.get(_version_of_worker.remote(), timeout=_WORKER_WITHIN_S)
    except GetTimeoutError:
        return
    except (RayError, ImportError) as error:
        raise InputError(
            f"--address {address}: its workers cannot load concepthash-study {__version__}"
            f" ({_last_line(error)}); start Ray where it is installed"
        ) from None
    if version != __version__:
        raise InputError(
            f"--address {address}: its workers have concepthash-study {version}, but this is"
            f" {__version__}"
        )


def missing(resources: ResourcesSpec) -> str:
    """Why no trial starts: what one needs, what the cluster has, and what no node has enough of."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = {"CPU": resources.cpu, "GPU": resources.gpu}
    fits = any(all(node.get(name, 0) >= n for name, n in wanted.items()) for node in nodes)
    why = "others occupy it"
    if not fits:
        lacking = [
            name
            for name, n in wanted.items()
            if n and not any(node.get(name, 0) >= n for node in nodes)
        ]
        why = f"no node has so many {' and '.join(lacking)}" if lacking else "no node has both"
    return f"a trial needs {_had(wanted)}, the cluster has {_had(ray.cluster_resources())}: {why}"


def _had(resources: Mapping[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"


def _unusable(address: str, reason: str) -> InputError:
    return InputError(
        f"--address {address}: no Ray cluster to be used ({reason.rstrip('.')}); give another"
        " address, or none to start Ray here"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[-1][:300]

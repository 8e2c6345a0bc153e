"""MLflow's own interface, started on a store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from concepthash.errors import InputError
from concepthash.tracking.store import Store

_HOST = "127.0.0.1"
_END_WITHIN_S = 5
_INTERRUPTED = 130


def check_ui(store: Store, port: int) -> None:
    """Raises InputError with one line if the store cannot be served at this port.

    A store that is a server already has an interface of its own.
    """
    if store.is_server:
        raise InputError(f"{store}: is a server with an interface of its own; open it there")
    store.check_writable()
    if not store.exists:
        raise InputError(f"{store}: does not exist yet; run a study first")
    if not 1 <= port <= 65535:
        raise InputError(f"--port {port}: should be 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise InputError(
                f"--port {port}: cannot be used ({error.strerror}); name another one"
            ) from None


def serve_ui(store: Store, port: int) -> int:
    """Serves a store that `check_ui` accepts, on loopback, until it is interrupted.

    Returns MLflow's exit code, or 130. None of the processes that it started is left.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", _HOST, "--port", str(port)]
    # Everybody sees the words of a command, and the URI may have a password. MLflow's own jobs,
    # which are not used here, would be processes that outlive the server.
    environment = {"MLFLOW_BACKEND_STORE_URI": store.uri}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    # A session of its own has all that the server starts in one group, apart from the terminal's.
    process = subprocess.Popen(command, env=os.environ | environment, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    try:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_WITHIN_S)
    finally:  # a second Ctrl-C, too
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

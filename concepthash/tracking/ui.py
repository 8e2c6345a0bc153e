"""MLflow's own interface, started on a store."""

from __future__ import annotations

import subprocess
import sys

from concepthash.errors import InputError
from concepthash.tracking.store import Store


def serve_ui(store: Store, port: int) -> int:
    """Serves the store on loopback until it is ended; returns MLflow's exit code.

    Raises InputError if there is no store yet. A store that is a server already has its own.
    """
    if store.uri.startswith(("http://", "https://")):
        raise InputError(f"{store.uri}: is a server with an interface of its own; open it there")
    if not store.exists:
        raise InputError(f"{store.uri}: does not exist yet; run a study first")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return subprocess.run(command, check=False).returncode

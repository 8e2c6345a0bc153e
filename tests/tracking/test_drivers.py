"""One driver at a time runs a study, and whether it is alive."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import psutil
import pytest
from birds import STUDY, TRIALS

from concepthash.errors import InputError
from concepthash.plan import make_plan
from concepthash.tracking.earlier import earlier_trials
from concepthash.tracking.frame import read_study
from concepthash.tracking.recorder import Recorder


def another_driver(store, **tags):
    """Leaves the study as a driver that still runs it would."""
    recorder = Recorder(store, make_plan(STUDY), {})
    recorder.open()
    for name, value in tags.items():
        store.client.set_tag(recorder.parent, name.replace("_", "."), str(value))


def test_a_study_that_another_process_runs_is_refused(store):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        started = psutil.Process(other.pid).create_time()
        another_driver(store, owner_pid=other.pid, owner_started=started)
        with pytest.raises(InputError, match=f"process {other.pid} on {socket.gethostname()}"):
            Recorder(store, make_plan(STUDY), {}).open()
    finally:
        other.communicate(b"\n")
    Recorder(store, make_plan(STUDY), {}).open()  # the other is gone


@pytest.mark.parametrize(("alive", "status"), [(True, "running"), (False, "interrupted")])
def test_a_trial_is_running_only_while_its_driver_is_alive(recorder, store, alive, status):
    recorder.begin(TRIALS[0], device="cpu", threads=1)
    if not alive:
        store.client.set_tag(recorder.parent, "owner.started", "1.0")  # another, earlier process
    assert earlier_trials(store, "birds")[TRIALS[0].digest].status == status
    assert read_study(store, "birds").trials["status"].to_list() == [status]


def test_a_later_process_of_the_same_number_is_not_the_driver(store):
    another_driver(store, owner_pid=os.getpid(), owner_started=1.0)
    mine = Recorder(store, make_plan(STUDY), {})
    mine.open()
    assert store.client.get_run(mine.parent).info.status == "RUNNING"


@pytest.mark.parametrize(("silent_s", "refused"), [(5, True), (600, False)])
def test_a_driver_on_another_host_counts_while_its_heartbeat_is_recent(store, silent_s, refused):
    another_driver(store, owner_host="elsewhere", owner_pid=1)
    parent = store.runs(store.create_experiment("birds"), "study")[0].info.run_id
    store.client.set_tag(parent, "heartbeat", str(time.time() - silent_s))
    if refused:
        with pytest.raises(InputError, match="process 1 on elsewhere"):
            Recorder(store, make_plan(STUDY), {}).open()
    else:
        Recorder(store, make_plan(STUDY), {}).open()

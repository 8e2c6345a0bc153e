"""Locks between processes."""

from __future__ import annotations

import multiprocessing
import time

from concepthash.data.folders import locked


def test_lock_of_a_killed_process_is_free(tmp_path):
    context = multiprocessing.get_context("fork")
    entered = context.Event()

    def hold() -> None:
        with locked(tmp_path):
            entered.set()
            time.sleep(60)

    def enter() -> None:
        with locked(tmp_path):
            pass

    holder, waiting = context.Process(target=hold), context.Process(target=enter)
    holder.start()
    assert entered.wait(timeout=30)
    waiting.start()
    waiting.join(timeout=0.5)
    assert waiting.is_alive()
    holder.kill()
    waiting.join(timeout=30)
    assert waiting.exitcode == 0

"""Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from persona_stream.client.main import interruptible


def test_the_first_asks_and_raises_nothing() -> None:
    """And afterwards Ctrl-C is what it was."""
    before = signal.getsignal(signal.SIGINT)
    asked = []
    with interruptible(lambda: asked.append(1)):
        os.kill(os.getpid(), signal.SIGINT)
    assert asked == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_leaves_at_once() -> None:
    """Nothing that is under way can keep it, and nothing after it is run."""
    program = """if True:
        import os, signal
        from persona_stream.client.main import interruptible
        with interruptible(lambda: print("asked", flush=True)):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                print("late")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "asked\n", "")


def test_where_it_is_ignored_it_stays_ignored() -> None:
    """As under ``nohup``."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible(lambda: None):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_of_the_main_thread_there_are_no_signals() -> None:
    """It does no harm there."""
    went_through = []

    def run() -> None:
        with interruptible(lambda: None):
            went_through.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert went_through == [True]

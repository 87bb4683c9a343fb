"""Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from persona_stream.client.main import handle_interrupt


def test_the_first_ctrl_c_stops_and_raises_nothing() -> None:
    """Afterwards, the handler is the one from before."""
    before = signal.getsignal(signal.SIGINT)
    calls = []
    with handle_interrupt(lambda: calls.append(1)):
        os.kill(os.getpid(), signal.SIGINT)
    assert calls == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_ctrl_c_exits_at_once() -> None:
    """Without any cleanup that could block."""
    program = """if True:
        import os, signal
        from persona_stream.client.main import handle_interrupt
        with handle_interrupt(lambda: print("stopping", flush=True)):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                print("late")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "stopping\n", "")


def test_an_ignored_sigint_stays_ignored() -> None:
    """As under ``nohup``."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with handle_interrupt(lambda: None):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_handle_no_signals() -> None:
    """Python allows handlers in the main thread only."""
    entered = []

    def run() -> None:
        with handle_interrupt(lambda: None):
            entered.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert entered == [True]

"""The process of a worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

from persona_stream.core.result import Returned
from persona_stream.executors.worker.gate import Gate, create_gate_file
from persona_stream.executors.worker.main import WorkerConnection

PROGRAM = """
import os, signal, sys
from persona_stream.executors.worker.main import reset_sigterm_in_forks

def end(number, frame):
    raise SystemExit(3)

signal.signal(signal.SIGTERM, end)
# Python ignores what callbacks after a fork raise.
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
if sys.argv[1] == "protected":
    reset_sigterm_in_forks()
pid = os.fork()
if not pid:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
assert signal.getsignal(signal.SIGTERM) is end
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.parametrize(("argument", "code"), [("protected", "-15"), ("unprotected", "7")])
def test_a_forked_process_ends_at_sigterm_however_early(argument: str, code: str):
    """Its parent keeps its handler. Without the callbacks the signal would be lost."""
    command = [sys.executable, "-c", PROGRAM, argument]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (3, code), done.stderr


def test_a_forked_process_keeps_a_handler_of_the_backend() -> None:
    """As that of a script does."""
    program = """
import os, signal
from persona_stream.executors.worker.main import reset_sigterm_in_forks

signal.signal(signal.SIGTERM, lambda number, frame: None)
reset_sigterm_in_forks()
signal.signal(signal.SIGTERM, lambda number, frame: os._exit(5))
pid = os.fork()
if not pid:
    os.kill(os.getpid(), signal.SIGTERM)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "5", done.stderr


def test_a_query_is_not_running_any_more_when_the_server_receives_its_end() -> None:
    """A server that is shutting down disconnects then, and a worker with a running query would exit at once."""
    running = {1}

    class Writer:
        is_running_at_end = True

        def end(self, number: int, payload: bytes) -> None:
            self.is_running_at_end = number in running

    writer = Writer()
    gate = Gate(create_gate_file())
    on_end = lambda number, _: running.remove(number)  # noqa: E731
    connection = WorkerConnection(writer, 1, "ask", max_bytes=1000, gate=gate, on_end=on_end)  # type: ignore[arg-type]
    connection.on_result(Returned("Done."))
    assert not writer.is_running_at_end

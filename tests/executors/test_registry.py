"""Tests of the registry of executors: where each backend of the settings runs, and what the server imports for it."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_stream.core.query import Query
from persona_stream.core.result import Returned
from persona_stream.errors import ConfigurationError
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.executors.registry import ExecutorRegistry, build_execution, register_executor
from persona_stream.executors.worker.pool import ProcessPool, WorkerExecutor
from persona_stream.settings.schema import BackendConfig, Settings
from tests.executors.recording import submit
from tests.server_process import ROOT

ASK = "tests.executors.worker.sample_backends:ask"
ASK_ASYNC = "tests.executors.worker.sample_backends:ask_async"


def answer_here(message: str) -> str:
    """Answer with the id of the process."""
    return str(os.getpid())


def answer_cooperatively(message: str) -> str:
    """Answer with the id of the process; waits where gevent can switch."""
    return str(os.getpid())


answer_cooperatively.cooperative = True


async def answer_async(message: str) -> str:
    """Answer with the id of the process, on an event loop."""
    return str(os.getpid())


class Execution:
    """Backends and executors of settings."""

    def __init__(self, process_query=None, **settings: object) -> None:
        self.router, self.executors = build_execution(Settings(**settings), None, process_query)

    def executor(self, name: str = "anything"):
        return self.executors.for_backend(self.router.find(name).backend)

    def ask(self, message: str, name: str = "anything") -> object:
        backend = self.router.find(name).backend
        query = Query(username="ada", message=message)
        _, callbacks = submit(self.executors.for_backend(backend), backend, query)
        result = callbacks.released.get(timeout=20)
        return result.value if isinstance(result, Returned) else result.error


@pytest.fixture
def started() -> Iterator[list[ExecutorRegistry]]:
    registries: list[ExecutorRegistry] = []
    yield registries
    for each in registries:
        each.close()


@pytest.mark.parametrize(
    ("name", "backend", "kind", "capacity"),
    [
        ("auto", "demo", GreenletExecutor, None),
        ("auto", "openai", GreenletExecutor, None),
        ("auto", ASK, WorkerExecutor, 3),
        ("greenlet", ASK, GreenletExecutor, None),
        ("thread", ASK, WorkerExecutor, 3),
        ("thread", "demo", WorkerExecutor, 3),
        ("process", ASK, ProcessPool, 3),
    ],
)
def test_the_executor_follows_from_the_setting_and_the_backend(
    name: str, backend: str, kind: type, capacity: int | None
):
    """``auto`` runs functions in a worker, and bundled backends in greenlets."""
    execution = Execution(
        executor=name, backend=backend, threads=3, openai_base_url="http://localhost/v1", openai_model="m"
    )
    assert type(execution.executor()) is kind
    assert execution.executors.capacity() == capacity


def test_the_server_does_not_import_a_backend_of_a_worker(started: list[ExecutorRegistry]):
    """The worker reports its capabilities; the module of this one is imported nowhere else."""
    execution = Execution(backend="tests.executors.worker.capable_backend:ask")
    started.append(execution.executors)
    assert execution.router.find("x").backend.capabilities == frozenset()
    execution.executors.begin()
    assert execution.router.find("x").backend.capabilities == {"tools", "images"}
    assert "tests.executors.worker.capable_backend" not in sys.modules
    assert execution.ask("Hi") == "Hi"


def test_an_async_function_has_no_limit_of_threads(started: list[ExecutorRegistry]):
    """It runs on the worker's event loop."""
    execution = Execution(backend=ASK_ASYNC)
    started.append(execution.executors)
    execution.executors.begin()
    assert execution.executors.capacity() is None
    assert execution.ask("echo hi") == "hi ada {}"


def test_a_cooperative_function_runs_in_greenlets(started: list[ExecutorRegistry]):
    """As the worker reports it, or as it is passed."""
    path = f"{__name__}:answer_cooperatively"
    for execution in (Execution(backend=path), Execution(answer_cooperatively)):
        started.append(execution.executors)
        execution.executors.begin()
        assert isinstance(execution.executor(), GreenletExecutor)
        assert execution.ask("Hi") == str(os.getpid())
        assert execution.executors.placements() == [f"{path} runs in greenlets of the server"]


def test_a_function_with_a_name_runs_in_a_worker(started: list[ExecutorRegistry]):
    """Also one that is passed to create_app."""
    for function in (answer_here, answer_async):
        execution = Execution(function)
        started.append(execution.executors)
        execution.executors.begin()
        assert execution.ask("Hi").isdigit()
        assert execution.ask("Hi") != str(os.getpid())


def test_a_closure_runs_in_greenlets(caplog: pytest.LogCaptureFixture):
    """Another process cannot import it: there is one warning, unless it is cooperative."""
    logger = logging.getLogger("persona_stream")
    logger.addHandler(caplog.handler)

    def cooperative(message: str) -> str:
        return message

    cooperative.cooperative = True
    Execution(cooperative)
    assert caplog.messages == []
    execution = Execution(lambda message: message)
    logger.removeHandler(caplog.handler)
    [message] = set(caplog.messages)
    assert "a worker process cannot import <function" in message
    assert isinstance(execution.executor(), GreenletExecutor)
    assert execution.ask("Hi") == "Hi"


@pytest.mark.parametrize("name", ["thread", "process"])
def test_a_closure_is_refused_by_the_other_executors(name: str):
    """At the start, with the remedy."""
    with pytest.raises(ConfigurationError, match="define it at the top level of a module, or set executor to greenlet"):
        Execution(lambda message: message, executor=name)


def test_an_async_function_is_refused_in_greenlets():
    """At the start, with the remedy."""
    with pytest.raises(ConfigurationError, match="is async and needs an event loop"):
        Execution(executor="greenlet", backend=ASK_ASYNC)

    async def closure(message: str) -> str:
        return message

    with pytest.raises(ConfigurationError, match="define it at the top level of a module"):
        Execution(closure)


def test_a_module_that_cannot_be_imported_stops_the_start(started: list[ExecutorRegistry], tmp_path: Path, monkeypatch):
    """With the error of the worker."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_backend.py").write_text("import nothing_of_this_name\n")
    execution = Execution(backend="broken_backend:ask")
    started.append(execution.executors)
    with pytest.raises(ConfigurationError, match="needs nothing_of_this_name, which is not installed"):
        execution.executors.begin()
    assert "failed to start" in execution.executors.problems()[0]


def test_backends_and_their_fallbacks_run_where_all_of_them_can(started: list[ExecutorRegistry]):
    """A chain with a function runs in a worker, and one of bundled backends in greenlets."""
    backends = (
        BackendConfig("demos", {"backend": "demo"}, ("d",)),
        BackendConfig("pair", {"backend": "demo"}, ("p",), fallback="default"),
        BackendConfig("safe", {"backend": "demo"}, ("s",), fallback="demos"),
    )
    execution = Execution(backend=ASK, backends=backends)
    started.append(execution.executors)
    kinds = {name: type(execution.executor(name)) for name in ("anything", "d", "p", "s")}
    assert kinds == {
        "anything": WorkerExecutor,
        "d": GreenletExecutor,
        "p": WorkerExecutor,
        "s": GreenletExecutor,
    }
    specs = [execution.router.find(name).backend.spec for name in ("anything", "p")]
    assert [(spec.name, spec.import_path) for spec in specs] == [("default", ASK), ("pair", None)]
    execution.executors.begin()
    assert execution.ask("echo hi") == "hi ada {}"


def test_a_closure_keeps_the_chains_with_it_in_the_server():
    """Its fallbacks too."""
    pair = BackendConfig("pair", {"backend": ASK}, ("p",), fallback="default")
    execution = Execution(lambda message: message, backends=(pair,))
    assert isinstance(execution.executor("p"), GreenletExecutor)


def test_the_hint_for_a_blocked_event_loop_is_for_greenlets_only():
    """A worker does not block the server's loop."""
    frame = sys._getframe()
    assert "--executor auto" in Execution(executor="greenlet", backend=ASK).executors.on_hub_blocked(frame)
    assert Execution(backend=ASK).executors.on_hub_blocked(frame) == ""


def test_a_name_is_registered_once():
    """The names of this package are taken."""
    with pytest.raises(ValueError, match="an executor named 'auto' exists"):
        register_executor("auto", lambda settings, personas: GreenletExecutor())


SCRIPT = """
from gevent import monkey
monkey.patch_all()
import os
from persona_stream import Query, create_app
{prelude}
def ask(message: str) -> str:
    return f"{{message}} in {{os.getpid()}}"
{app}
if __name__ == "__main__":
    from persona_stream.web.services import EXTENSION
    services = (globals().get("app") or create_app(process_query=ask)).extensions[EXTENSION]
    services.executors.begin()
    print(*services.executors.placements())
    from tests.executors.recording import submit
    backend = services.router.find("x").backend
    _, callbacks = submit(services.executors.for_backend(backend), backend, Query(username="ada", message="Hi"))
    print(callbacks.released.get(timeout=20), os.getpid())
    services.executors.close()
"""


@pytest.mark.parametrize("app", ["", "app = create_app(process_query=ask)"])
@pytest.mark.parametrize("how", ["path", "module"])
def test_a_function_of_the_main_script_runs_in_a_worker(tmp_path: Path, app: str, how: str):
    """Loaded as multiprocessing loads it; a module may hold both the function and the application."""
    (tmp_path / "my_script.py").write_text(SCRIPT.format(app=app, prelude=""))
    command = {"path": ["my_script.py"], "module": ["-m", "my_script"]}[how]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PERSONA_STREAM_JWT_SECRET": "s" * 32}
    ended = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert "Hi in" in ended.stdout, ended.stderr
    result, _, pid = ended.stdout.strip().rpartition(" ")
    assert pid not in result


def test_a_script_from_standard_input_runs_in_greenlets(tmp_path: Path):
    """Another process cannot load it."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PERSONA_STREAM_JWT_SECRET": "s" * 32}
    ended = subprocess.run(
        [sys.executable, "-"],
        input=SCRIPT.format(app="", prelude=""),
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    result, _, pid = ended.stdout.strip().rpartition(" ")
    assert pid in result, ended.stderr
    assert "__main__:ask runs in greenlets of the server" in ended.stdout

"""Registry of executors: by name for the setting ``executor``, and by backend for its queries.

To add an executor, pass its factory to ``register_executor`` before the settings are loaded. ``build_execution``
creates the backends of the settings together with their executors.

The server imports no code of a backend that runs in a worker: a model is loaded once, in the process that uses it.
The worker reports the properties of its backends when it starts.
"""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from multiprocessing import spawn
from pathlib import Path
from types import FrameType
from typing import Any, cast

from msgspec import structs

from persona_stream.backends import factory
from persona_stream.backends.base import Backend, BackendDescription, BackendSpec, WorkerDescription
from persona_stream.backends.callables import from_callable, import_object
from persona_stream.backends.router import ModelRouter
from persona_stream.core.query import Query
from persona_stream.core.result import WorkerError
from persona_stream.errors import ConfigurationError
from persona_stream.executors.base import Executor, ExecutorStatistics
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.extras import install_command
from persona_stream.journals.base import JournalStore
from persona_stream.personas.persona import Persona
from persona_stream.settings.schema import DEFAULT, Settings
from persona_stream.settings.types import EXECUTOR_NAMES

logger = logging.getLogger("persona_stream.executors")

ExecutorFactory = Callable[[Settings, Mapping[str, Persona] | None], Executor]

BLOCKING_HINT = " Run it with --executor auto, in a worker process."
"""Remedy for a backend that blocks the event loop, if it runs in a greenlet."""

EXECUTORS: dict[str, ExecutorFactory] = {}
"""Registered executors that this package does not contain."""


def register_executor(name: str, factory: ExecutorFactory) -> None:
    """Register an executor as a value of the setting ``executor``; raise ``ValueError`` if the name is taken."""
    if name in EXECUTOR_NAMES:
        raise ValueError(f"an executor named {name!r} exists")
    EXECUTORS[name] = factory
    EXECUTOR_NAMES.append(name)


class ExecutorRegistry:
    """Executors of this process: greenlets for the backends that exist here, another one for the rest."""

    def __init__(self, router: ModelRouter, executor: Executor, load: Callable[[str], Backend] | None = None) -> None:
        """Create the registry; ``load`` creates a backend in this process if it turns out to be cooperative."""
        self._router = router
        self._executor = executor
        self._load = load
        self._greenlets = cache(GreenletExecutor)

    def capacity(self) -> int | None:
        """Maximum number of concurrent queries; ``None`` if only memory limits it."""
        backends = filter(self._is_elsewhere, self._router.backends)
        capacities = (self._executor.capacity_for(backend) for backend in backends)
        return min((each for each in capacities if each is not None), default=None)

    def for_backend(self, backend: Backend) -> Executor:
        """Return the executor of a backend's queries."""
        return self._executor if self._executor.accepts(backend) else self._greenlets()

    def on_hub_blocked(self, frame: FrameType) -> str:
        """Return the remedy for a backend that blocks the event loop. Any thread may call this."""
        return BLOCKING_HINT if any(backend.spec is None for backend in self._router.backends) else ""

    def begin(self) -> None:
        """Start the executors, and wait for the properties of the backends that run elsewhere.

        Called once, in the process that serves.

        Raises:
            ConfigurationError: a backend cannot be created there.
        """
        if any(map(self._is_elsewhere, self._router.backends)):
            self._executor.watch(self._describe_all)
            self._executor.warm_up()
        self._describe_all()
        if not any(map(self._is_elsewhere, self._router.backends)):
            self._executor.close()

    def _describe_all(self) -> None:
        for backend in self._router.backends:
            if backend.spec is None or not self._is_elsewhere(backend):
                continue
            try:
                description = self._executor.describe(backend.spec.name)
            except WorkerError as error:
                raise ConfigurationError(str(error)) from None
            if description is not None:
                self._router.replace(backend, self._place(backend, backend.spec.name, description))

    def placements(self) -> Sequence[str]:
        """Return where the queries of each backend run, for the log; the default backend comes first."""
        return [f"{backend.name} runs {self._place_name(backend)}" for backend in self._router.backends]

    def statistics(self) -> ExecutorStatistics:
        """Return the current numbers of processes and threads."""
        return self._executor.statistics()

    def workers(self) -> Sequence[WorkerDescription]:
        """Return the workers on other machines that are alive."""
        return self._executor.workers()

    def problems(self) -> Sequence[str]:
        """Return what is wrong with the executors at the moment."""
        return self._executor.problems()

    def close(self) -> None:
        """Release all resources."""
        self._executor.close()

    def _place(self, backend: Backend, name: str, description: BackendDescription) -> Backend:
        if description.is_cooperative and self._load is not None:
            return self._load(name)
        return backend.described(description)

    def _place_name(self, backend: Backend) -> str:
        executor = self.for_backend(backend)
        return executor.async_place if backend.is_async else executor.place

    def _is_elsewhere(self, backend: Backend) -> bool:
        return not isinstance(self.for_backend(backend), GreenletExecutor)


def build_execution(
    settings: Settings,
    personas: Mapping[str, Persona] | None,
    process_query: Callable[..., Any] | None,
    journals: JournalStore | None = None,
) -> tuple[ModelRouter, ExecutorRegistry]:
    """Create the backends and executors of the settings; raise ``ConfigurationError`` if they do not fit.

    An executor of other machines hands the runs of ``journals`` over to them.
    """
    name = settings.executor
    if name in EXECUTORS:
        backends = factory.build_backends(settings, personas, process_query)
        paths = factory.import_paths(settings)
        if process_query is not None:
            paths = {key: value for key, value in paths.items() if key != DEFAULT}
        bound = {key: replace(each, spec=_spec(settings, key, paths)) for key, each in backends.items()}
        router = factory.route(settings, personas, bound)
        return router, ExecutorRegistry(router, EXECUTORS[name](settings, personas))
    if name == "greenlet":
        backends = factory.build_backends(settings, personas, process_query)
        for backend in backends.values():
            if backend.is_async:
                raise ConfigurationError(
                    f"{backend.name} is async and needs an event loop, which a greenlet does not have: set executor to"
                    " auto, which runs it on the event loop of a worker process"
                )
        router = factory.route(settings, personas, backends)
        return router, ExecutorRegistry(router, GreenletExecutor())
    return _build_worker_execution(settings, personas, process_query, journals)


def _build_worker_execution(
    settings: Settings,
    personas: Mapping[str, Persona] | None,
    process_query: Callable[..., Any] | None,
    journals: JournalStore | None,
) -> tuple[ModelRouter, ExecutorRegistry]:
    is_auto = settings.executor == "auto"
    main: Mapping[str, str] = {}
    stays_here = False  # the default backend
    if process_query is not None:
        path, main = _locate(process_query)
        if path is None and settings.executor in ("thread", "process"):
            raise ConfigurationError(
                f"executor {settings.executor} imports the function in another process, and {process_query!r:.100} has"
                " no name there: define it at the top level of a module, or set executor to greenlet"
            )
        is_cooperative = is_auto and from_callable(process_query).is_cooperative
        stays_here = is_cooperative or (path is None and settings.executor != "celery")
        if path is None and is_auto and not is_cooperative:
            logger.warning(
                "a worker process cannot import %r, so it runs in greenlets, where it may wait in Python's sockets only"
                ": define it at the top level of a module, or set its attribute cooperative to True",
                process_query,
            )
        settings = settings if path is None else structs.replace(settings, backend=path)
    paths = factory.import_paths(settings)
    here = {name for name in paths if is_auto and not paths[name]} | ({DEFAULT} if stays_here else set())
    if stays_here:
        here |= {config.name for config in settings.backends if config.fallback == DEFAULT}
    local = factory.build_backends(settings, personas, process_query if stays_here else None, here)
    for backend in local.values():
        if backend.is_async:
            raise ConfigurationError(
                f"{backend.name} is async, and a worker process, which has an event loop, cannot import it: define it"
                " at the top level of a module"
            )
    remote = {name: _create_placeholder(settings, name, paths) for name in paths if name not in here}
    router = factory.route(settings, personas, local | remote)
    if not remote:
        return router, ExecutorRegistry(router, GreenletExecutor())
    create_backends = partial(factory.build_backends, settings, personas, None, frozenset(remote))
    executor = (
        _create_celery_executor(settings, journals)
        if settings.executor == "celery"
        else _create_executor(settings, create_backends, main)
    )

    def load(name: str) -> Backend:
        return factory.build_backends(settings, personas, None, {name})[name]

    return router, ExecutorRegistry(router, executor, load if is_auto else None)


def _create_executor(
    settings: Settings, create_backends: Callable[[], Mapping[str, Backend]], main: Mapping[str, str]
) -> Executor:
    from persona_stream.executors.worker.pool import ProcessPool, WorkerExecutor, WorkerSource

    source = WorkerSource(create_backends, settings.max_answer_bytes, main)
    if settings.executor == "process":
        return ProcessPool.from_settings(settings, source)
    return WorkerExecutor(source, settings.threads)


def _create_celery_executor(settings: Settings, journals: JournalStore | None) -> Executor:
    if settings.redis_url is None or journals is None:
        raise ConfigurationError("executor celery needs Redis, which its workers write to: set redis_url")
    try:
        from persona_stream.executors.celery.executor import CeleryExecutor
    except ImportError:
        raise ConfigurationError(f"executor celery needs Celery: {install_command('celery')}") from None
    return CeleryExecutor(settings, cast("Any", journals))


def _create_placeholder(settings: Settings, name: str, paths: Mapping[str, frozenset[str]]) -> Backend:
    """Create a backend whose function this process does not import."""
    return Backend(settings.backend if name == DEFAULT else name, _raise_elsewhere, spec=_spec(settings, name, paths))


def _spec(settings: Settings, name: str, paths: Mapping[str, frozenset[str]]) -> BackendSpec | None:
    """Return the value that identifies a backend; only one without a fallback has an import path."""
    if name not in paths:
        return None
    has_fallback = any(config.name == name and config.fallback is not None for config in settings.backends)
    return BackendSpec(name, None if has_fallback else next(iter(paths[name]), None))


def _raise_elsewhere(query: Query) -> object:
    raise WorkerError("the backend runs in another process")


def _locate(function: Callable[..., Any]) -> tuple[str | None, Mapping[str, str]]:
    """Return the import path of a function, and how another process loads its module if that is the main script."""
    module = getattr(function, "__module__", None)
    path = f"{module}:{getattr(function, '__qualname__', '')}"
    main: Mapping[str, str] = {}
    if module == "__main__":
        data = spawn.get_preparation_data("worker")
        main = {key: data[key] for key in ("init_main_from_name", "init_main_from_path") if key in data}
        # An interactive session, python -c, or standard input.
        if "init_main_from_name" not in main and not Path(main.get("init_main_from_path", "")).is_file():
            return None, {}
    elif getattr(sys.modules.get(module or ""), "__spec__", None) is None:
        return None, {}
    try:
        return (path, main) if import_object(path) is function else (None, {})
    except ConfigurationError:  # a closure, a lambda, or an object without a name
        return None, {}

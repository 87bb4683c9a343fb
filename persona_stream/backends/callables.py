"""Any callable as a backend: handed over, or named.

    def ask(message: str) -> str: ...
    async def ask(query: Query) -> Answer: ...
    ask = functools.partial(search, index="books")
    def ask(message: str) -> Iterator[str]: yield ...

``signature`` has the rules of what a parameter gets. What else a callable can do, it says by an attribute:

    ask.abilities = {"tools", "images"}

Find what ``module:object.attribute`` names.

Generators as backends: each text that one yields is sent to the readers at once.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import re
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import aclosing, closing
from pathlib import Path
from types import ModuleType
from typing import Any, cast, get_args

from persona_stream.backends.base import Backend, Capability, ProcessQuery
from persona_stream.backends.signature import bind_parameters
from persona_stream.core.query import Query
from persona_stream.errors import ConfigurationError

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_SPEC = re.compile(rf"(?P<module>{_DOTTED}):(?P<path>{_DOTTED})")


def import_object(spec: str) -> object:
    """Import the module, and give the object in it.

    The current directory comes first in the module search path from then on, so that what the module imports
    later is found there too.

    Raises:
        ConfigurationError: the spec is malformed, or there is no such thing; its text says what to do.
    """
    parts = _SPEC.fullmatch(spec)
    if parts is None:
        hint = ", with dots and not slashes between folders" if "/" in spec or "\\" in spec else ""
        raise ConfigurationError(f"{spec!r} names no function: write module:function or module:object.method{hint}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found: object = _import(parts["module"])
    path = parts["module"]
    for attribute in parts["path"].split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise ConfigurationError(f"{path} has no {attribute}{_close_to(attribute, found)}") from error
        path = f"{path}.{attribute}"
    return found


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{module}.".startswith(f"{missing}."):
            raise ConfigurationError(f"the module {module} needs {missing}, which is not installed") from error
        if module.endswith(".py"):
            raise ConfigurationError(
                f"{module} is a file's name: write {module.removesuffix('.py')} without .py"
            ) from error
        raise ConfigurationError(
            f"there is no module {missing}: start in the folder that holds it ({Path.cwd()} is the current one), or"
            " install it"
        ) from error
    # A script without a main guard may call sys.exit, which is no Exception.
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"the module {module} could not be imported ({type(error).__name__}: {error}): python -c 'import {module}'"
            " shows where"
        ) from error


def _close_to(attribute: str, owner: object) -> str:
    near = difflib.get_close_matches(attribute, dir(owner), n=1)
    return f": did you mean {near[0]}?" if near else ": look at its spelling"


def forward_generator(generates: ProcessQuery) -> ProcessQuery:
    """Give a process_query of one that generates texts. What a generator returns is the rest of the answer."""

    def process_query(query: Query) -> object:
        with closing(cast("Generator[str, None, object]", generates(query))) as texts:
            while True:
                try:
                    query.send(next(texts))
                except StopIteration as end:
                    return "" if end.value is None else end.value

    return process_query


def forward_async_generator(generates: ProcessQuery) -> Callable[[Query], Awaitable[Any]]:
    """Give a process_query of one that generates texts on an event loop."""

    async def process_query(query: Query) -> str:
        async with aclosing(cast("AsyncGenerator[str, None]", generates(query))) as texts:
            async for text in texts:
                query.send(text)
        return ""

    return process_query


__all__ = ["from_callable", "from_import_path"]


def from_import_path(spec: str) -> Backend:
    """Make a backend of what ``module:function`` or ``module:object.method`` names.

    Modules are found as Python finds them, and in the current directory.

    Raises:
        ConfigurationError: there is no such thing, or it cannot answer queries.
    """
    return from_callable(import_object(spec), spec)


def from_callable(function: object, name: str | None = None) -> Backend:
    """Make a backend of a callable.

    A class is one too, when it is built without arguments and its objects can be called: one object of it is
    built, here and now.

    Args:
        function: a function, method, partial, object with ``__call__``, or such a class; ``async`` or not. A
            generator's texts are sent as they come.
        name: what to call it in the log; its own name when left out.

    Raises:
        ConfigurationError: it cannot be called, or has parameters that a query has nothing for.
    """
    name = name or _own_name(function)
    if isinstance(function, type):
        function = _build(function, name)
    if not callable(function):
        raise ConfigurationError(f"{name} is {_a(type(function).__name__)}, which cannot be called: name a function")
    served, abilities = bind_parameters(function, name), _abilities(function, name)
    if _is(function, inspect.isasyncgenfunction):
        return Backend(name, forward_async_generator(served), is_async=True, capabilities=abilities)
    if _is(function, inspect.isgeneratorfunction):
        return Backend(name, forward_generator(served), capabilities=abilities)
    return Backend(name, served, _is(function, inspect.iscoroutinefunction), abilities)


def _abilities(function: object, name: str) -> frozenset[Capability]:
    """Read what a callable says that it can do."""
    said = getattr(function, "abilities", ())
    known = get_args(Capability)
    if isinstance(said, str) or not isinstance(said, Iterable) or not set(said) <= set(known):
        raise ConfigurationError(f"{name}.abilities is {said!r:.100}: make it a set of {', '.join(known)}")
    # Who keeps to any format keeps to a schema.
    return frozenset({*said, "json_schema"} if "response_format" in said else said)


def _build(kind: type, name: str) -> object:
    if not any("__call__" in ancestor.__dict__ for ancestor in kind.__mro__):
        raise ConfigurationError(
            f"{name} is a class, and its objects cannot be called: name a function, or a method of one"
        )
    try:
        return kind()
    except Exception as error:
        raise ConfigurationError(
            f"{name} is a class that could not be built without arguments ({type(error).__name__}: {error}): "
            "build the object yourself, and name that"
        ) from error


def _is(function: Callable[..., object], question: Callable[[object], bool]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return question(function) or question(type(function).__call__)


def _own_name(function: object) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    named_one = function if hasattr(function, "__qualname__") else type(function)
    return f"{named_one.__module__}:{named_one.__qualname__}"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"

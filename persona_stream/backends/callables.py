"""Backends from user functions, given as an object or as an import path.

    def ask(message: str) -> str: ...
    async def ask(query: Query) -> Answer: ...
    ask = functools.partial(search, index="books")
    def ask(message: str) -> Iterator[str]: yield ...

``signature`` defines the arguments of a call. An attribute declares the capabilities of a callable; ``abilities`` is
an alias of it:

    ask.capabilities = {"tools", "images"}

Another attribute declares that a function waits only where gevent can switch, so that it may run in a greenlet:

    ask.cooperative = True

Two more are for pages: the name of the function for users, and example questions:

    ask.title = "Handbook search"
    ask.ideas = ["How much leave do I have?"]
"""

import difflib
import functools
import importlib
import inspect
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing, closing
from pathlib import Path
from types import AsyncGeneratorType, FrameType, GeneratorType, ModuleType
from typing import Any, cast, get_args

from persona_stream.backends.base import Backend, Capability, ProcessQuery
from persona_stream.backends.signature import bind_parameters
from persona_stream.core.query import Query
from persona_stream.errors import ConfigurationError

MAX_TURN = 0.005  # seconds that an asynchronous generator may take of its event loop
_DOTTED_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_IMPORT_PATH = re.compile(rf"(?P<module>{_DOTTED_NAME}):(?P<attributes>{_DOTTED_NAME})")


def from_import_path(import_path: str) -> Backend:
    """Create a backend from ``module:function`` or ``module:object.method``.

    Modules are searched in the current directory first.

    Raises:
        ConfigurationError: the object cannot be imported, or cannot answer queries.
    """
    return from_callable(import_object(import_path), import_path)


def from_callable(function: object, name: str | None = None) -> Backend:
    """Create a backend from a callable.

    A class whose constructor needs no arguments, and whose objects can be called, is instantiated at once.

    Args:
        function: a function, method, partial, object with ``__call__``, or such a class; ``async`` or not. The texts
            that a generator yields are sent as they come; its return value is the rest of the answer.
        name: the name in the log; by default the callable's own.

    Raises:
        ConfigurationError: it cannot be called, or has a parameter that cannot be bound.
    """
    name = name or _own_name(function)
    if isinstance(function, type):
        function = _instantiate(function, name)
    if not callable(function):
        article = "an" if type(function).__name__[0].lower() in "aeiou" else "a"
        raise ConfigurationError(
            f"{name} is {article} {type(function).__name__}, which cannot be called: name a function"
        )
    process_query = bind_parameters(function, name)
    is_async = False
    if _is_kind(function, inspect.isasyncgenfunction):
        process_query = _forward_async_generator(process_query, name)
        is_async = True
    elif any(_is_kind(each, inspect.isgeneratorfunction) for each in (function, inspect.unwrap(function))):
        process_query = _forward_generator(process_query, name)
    elif _is_kind(function, inspect.iscoroutinefunction):
        is_async = True
    is_cooperative = bool(getattr(function, "cooperative", False))
    return Backend(
        name,
        process_query,
        is_async,
        capabilities=_declared_capabilities(function, name),
        is_cooperative=is_cooperative,
        title=_declared_title(function, name),
        ideas=_declared_ideas(function, name),
    )


def import_object(import_path: str) -> object:
    """Import a module and return the object at the rest of the path.

    The current directory is put first in ``sys.path``, so that later imports of the module succeed too.

    Raises:
        ConfigurationError: the path is malformed, or the object does not exist.
    """
    parts = _IMPORT_PATH.fullmatch(import_path)
    if parts is None:
        hint = ", with dots and not slashes between folders" if "/" in import_path or "\\" in import_path else ""
        raise ConfigurationError(
            f"{import_path!r} is not an import path: write module:function or module:object.method{hint}"
        )
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found: object = _import_module(parts["module"])
    path = parts["module"]
    for attribute in parts["attributes"].split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            similar = difflib.get_close_matches(attribute, dir(found), n=1)
            hint = f"did you mean {similar[0]}?" if similar else "check its spelling"
            raise ConfigurationError(f"{path} has no {attribute}: {hint}") from error
        path = f"{path}.{attribute}"
    return found


def _import_module(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{module}.".startswith(f"{missing}."):
            raise ConfigurationError(f"the module {module} needs {missing}, which is not installed") from error
        if module.endswith(".py"):
            raise ConfigurationError(f"{module} is a file name: write {module.removesuffix('.py')}") from error
        raise ConfigurationError(
            f"there is no module {missing}: start in the folder that contains it ({Path.cwd()} is the current one), or"
            " install it"
        ) from error
    # A script without a main guard may call sys.exit.
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"the module {module} could not be imported ({type(error).__name__}: {error}): python -c 'import {module}'"
            " shows where"
        ) from error


def _instantiate(kind: type, name: str) -> object:
    if not any("__call__" in ancestor.__dict__ for ancestor in kind.__mro__):
        raise ConfigurationError(f"{name} is a class whose objects cannot be called: name a function or a method")
    try:
        return kind()
    except Exception as error:
        raise ConfigurationError(
            f"{name} is a class that cannot be instantiated without arguments ({type(error).__name__}: {error}): "
            "create the object yourself, and name that"
        ) from error


def _declared_capabilities(function: object, name: str) -> frozenset[Capability]:
    attribute = "capabilities" if hasattr(function, "capabilities") else "abilities"  # the former name
    declared = getattr(function, attribute, ())
    known = get_args(Capability)
    if isinstance(declared, str) or not isinstance(declared, Iterable) or not set(declared) <= set(known):
        raise ConfigurationError(f"{name}.{attribute} is {declared!r:.100}: make it a set of {', '.join(known)}")
    # Following any response format includes following a schema.
    return frozenset({*declared, "json_schema"} if "response_format" in declared else declared)


def _declared_title(function: object, name: str) -> str:
    title = getattr(function, "title", "")
    # A method of a class such as str is not a declaration.
    if callable(title):
        return ""
    if not isinstance(title, str):
        raise ConfigurationError(f"{name}.title is {title!r:.100}: make it a string")
    return title


def _declared_ideas(function: object, name: str) -> tuple[str, ...]:
    ideas = getattr(function, "ideas", ())
    if isinstance(ideas, list | tuple) and all(isinstance(idea, str) for idea in ideas):
        return tuple(ideas)
    raise ConfigurationError(f"{name}.ideas is {ideas!r:.100}: make it a list of strings")


def _forward_generator(generate: ProcessQuery, name: str) -> ProcessQuery:
    def process_query(query: Query) -> object:
        generator = generate(query)
        if not isinstance(generator, GeneratorType):  # a decorator has made an answer of the texts
            return generator
        with closing(generator) as texts:
            while not query.cancelled:
                try:
                    _send(query, next(texts), name, texts.gi_frame)
                except StopIteration as end:
                    return "" if end.value is None else end.value
        return ""

    return process_query


def _forward_async_generator(generate: ProcessQuery, name: str) -> Callable[[Query], Awaitable[Any]]:
    async def process_query(query: Query) -> str:
        import asyncio  # only where an event loop runs: the server has none

        turned_at = time.monotonic()
        async with aclosing(cast("AsyncGeneratorType[object, None]", generate(query))) as texts:
            async for text in texts:
                _send(query, text, name, texts.ag_frame)
                if query.cancelled:
                    break
                # A generator that never waits would stop the queries of the same event loop.
                if time.monotonic() - turned_at > MAX_TURN:
                    await asyncio.sleep(0)
                    turned_at = time.monotonic()
        return ""

    return process_query


def _send(query: Query, text: object, name: str, frame: FrameType | None) -> None:
    # The content of some deltas of OpenAI's streams is None, and generators forward it.
    if text is not None and not isinstance(text, str):
        place = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
        raise TypeError(f"{name} yielded {type(text).__name__}{place}: yield strings")
    query.send(text)  # an empty one too: sending lets other greenlets run


def _is_kind(function: Callable[..., object], predicate: Callable[[object], bool]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return predicate(function) or predicate(type(function).__call__)


def _own_name(function: object) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"

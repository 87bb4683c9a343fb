"""Any callable as a backend: handed over, or named.

    def ask(message: str) -> str: ...
    async def ask(query: Query) -> Answer: ...
    ask = functools.partial(search, index="books")
    def ask(message: str) -> Iterator[str]: yield ...

``signature`` has the rules of what a parameter gets. What else a callable can do, it says by an attribute:

    ask.abilities = {"tools", "images"}
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import get_args

from persona_stream.backends import Ability, Backend
from persona_stream.backends.callables.importing import load
from persona_stream.backends.callables.signature import serve
from persona_stream.backends.callables.streaming import send_each, send_each_async
from persona_stream.errors import StartError

__all__ = ["adapt", "named"]


def named(spec: str) -> Backend:
    """Make a backend of what ``module:function`` or ``module:object.method`` names.

    Modules are found as Python finds them, and in the current directory.

    Raises:
        StartError: there is no such thing, or it cannot answer queries.
    """
    return adapt(load(spec), spec)


def adapt(function: object, name: str | None = None) -> Backend:
    """Make a backend of a callable.

    A class is one too, when it is built without arguments and its objects can be called: one object of it is
    built, here and now.

    Args:
        function: a function, method, partial, object with ``__call__``, or such a class; ``async`` or not. A
            generator's texts are sent as they come.
        name: what to call it in the log; its own name when left out.

    Raises:
        StartError: it cannot be called, or has parameters that a query has nothing for.
    """
    name = name or _own_name(function)
    if isinstance(function, type):
        function = _build(function, name)
    if not callable(function):
        raise StartError(f"{name} is {_a(type(function).__name__)}, which cannot be called: name a function")
    served, abilities = serve(function, name), _abilities(function, name)
    if _is(function, inspect.isasyncgenfunction):
        return Backend(name, send_each_async(served), is_async=True, abilities=abilities)
    if _is(function, inspect.isgeneratorfunction):
        return Backend(name, send_each(served), abilities=abilities)
    return Backend(name, served, _is(function, inspect.iscoroutinefunction), abilities)


def _abilities(function: object, name: str) -> frozenset[Ability]:
    """Read what a callable says that it can do."""
    said = getattr(function, "abilities", ())
    known = get_args(Ability)
    if isinstance(said, str) or not isinstance(said, Iterable) or not set(said) <= set(known):
        raise StartError(f"{name}.abilities is {said!r:.100}: make it a set of {', '.join(known)}")
    # Who keeps to any format keeps to a schema.
    return frozenset({*said, "json_schema"} if "response_format" in said else said)


def _build(kind: type, name: str) -> object:
    if not any("__call__" in ancestor.__dict__ for ancestor in kind.__mro__):
        raise StartError(f"{name} is a class, and its objects cannot be called: name a function, or a method of one")
    try:
        return kind()
    except Exception as error:
        raise StartError(
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

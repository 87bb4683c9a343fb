"""Read a callable's signature once, and give the call that serves it.

What a parameter gets is said by its annotation and its name:

- annotated ``Query``, or named ``query``: the query.
- named like a field of ``Query``: that field. Where the query has nothing for it (``None``), a default stays.
- ``**kwargs``: every field that has no parameter of its own, but for ``cancelled``.
- the only required parameter, without annotation and with any other name, where nothing else is taken: the query.
- any other: it must have a default, and keeps it.

What a ``functools.partial`` has filled in stays as it is.

What one parameter gets of a query, and the sentence for one that can get nothing.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from inspect import Parameter
from operator import attrgetter
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from persona_stream.backends.base import ProcessQuery
from persona_stream.core.query import Query
from persona_stream.errors import ConfigurationError

Extractor = Callable[[Query], object]

# How a query is told of its progress is its own matter, and what takes an ability never reaches a plain callable.
_KEPT = frozenset({"_context", "parts", "tool_turns", "tools", "tool_choice"})

FIELDS: Mapping[str, Extractor] = {
    name: attrgetter(name) for name in (*(field.name for field in fields(Query)), "cancelled") if name not in _KEPT
}
# What **kwargs gets: the question, which can be printed and sent on, and nothing that lives.
SPREAD: Mapping[str, Extractor] = {name: take for name, take in FIELDS.items() if name != "cancelled"}
MAY_BE_NONE = frozenset({"prompt", "persona"})
NAMES = ", ".join(["query", *FIELDS])


def whole_query(query: Query) -> Query:
    """Give the whole of it."""
    return query


def extractor_for(parameter: Parameter, owner: str) -> Extractor | None:
    """Tell what a parameter takes out of a query, or ``None`` when its name and annotation say nothing.

    Raises:
        ConfigurationError: its name says the one thing, and its annotation the other.
    """
    if _says_query(parameter.annotation):
        return whole_query
    if parameter.name == "query":
        if parameter.annotation in (str, "str"):
            raise ConfigurationError(
                f"the parameter query of {owner} is annotated str, and would get the whole Query: name it message to "
                "get the text, or annotate it Query"
            )
        return whole_query
    return FIELDS.get(parameter.name)


def accepts_query(parameter: Parameter) -> bool:
    """Tell whether a required parameter with a name of its own can only mean the query."""
    return (
        parameter.kind is not Parameter.KEYWORD_ONLY
        and parameter.annotation is Parameter.empty
        and parameter.name not in ("self", "cls")
    )


def unknown_parameter_message(parameter: Parameter, owner: str) -> str:
    """Say why a required parameter gets nothing, and what to do."""
    if parameter.name in ("self", "cls"):
        return f"{owner} is a method without its object: name it as module:object.method, with an object that exists"
    if parameter.kind is Parameter.POSITIONAL_ONLY and parameter.name in FIELDS:
        return (
            f"the parameter {parameter.name} of {owner} is taken by position only, as only the first can be: remove "
            "the / from its parameters"
        )
    return (
        f"the parameter {parameter.name} of {owner} is nothing that a query has: give it a default, or one of these "
        f"names: {NAMES}"
    )


def _says_query(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.rpartition(".")[2] == Query.__name__
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return Query in get_args(annotation)
    return annotation is Query


def bind_parameters(function: Callable[..., object], name: str) -> ProcessQuery:
    """Give a function of a query that calls this one with what its parameters ask for.

    Raises:
        ConfigurationError: a parameter can get nothing, or none gets anything; ``name`` says whose.
    """
    filled = _filled_in(function)
    parameters = [each for each in _read(function, name).parameters.values() if each.name not in filled]
    kinds = [each.kind for each in parameters]
    if kinds == [Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD]:
        raise ConfigurationError(
            f"{name} takes *args and **kwargs, which hides what it needs: decorate it with functools.wraps, or give "
            f"it parameters with these names: {NAMES}"
        )
    plan = _Binding(served=set(filled))
    unknown = [each for index, each in enumerate(parameters) if not plan.serve(each, index, name)]
    if len(unknown) == 1 and plan.served == filled and accepts_query(unknown[0]):
        plan.positional.append(whole_query)
    elif unknown:
        raise ConfigurationError(unknown_parameter_message(unknown[0], name))
    if Parameter.VAR_KEYWORD in kinds:
        plan.keywords |= {other: take for other, take in SPREAD.items() if other not in plan.served}
    if not (plan.positional or plan.keywords or plan.unless_none):
        raise ConfigurationError(
            f"{name} takes nothing that a query has: give it a parameter with one of these names: {NAMES}"
        )
    return plan.caller(function)


@dataclass(slots=True)
class _Binding:
    served: set[str]
    positional: list[Extractor] = field(default_factory=list)
    keywords: dict[str, Extractor] = field(default_factory=dict)
    unless_none: dict[str, Extractor] = field(default_factory=dict)

    def serve(self, parameter: Parameter, index: int, owner: str) -> bool:
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            return True
        has_default = parameter.default is not Parameter.empty
        by_position = parameter.kind is Parameter.POSITIONAL_ONLY
        take = extractor_for(parameter, owner)
        if take is None or (by_position and index > 0):
            return has_default
        self.served.add(parameter.name)
        if has_default and not by_position and parameter.name in MAY_BE_NONE:
            self.unless_none[parameter.name] = take
        elif index == 0 and parameter.kind is not Parameter.KEYWORD_ONLY:
            self.positional.append(take)
        else:
            self.keywords[parameter.name] = take
        return True

    def caller(self, function: Callable[..., object]) -> ProcessQuery:
        positional, keywords, unless_none = self.positional, self.keywords, self.unless_none
        if positional == [whole_query] and not keywords and not unless_none:
            return function

        def process_query(query: Query) -> object:
            arguments = {name: take(query) for name, take in keywords.items()}
            for name, take in unless_none.items():
                value = take(query)
                if value is not None:
                    arguments[name] = value
            return function(*[take(query) for take in positional], **arguments)

        return process_query


def _read(function: Callable[..., object], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, AttributeError, SyntaxError, TypeError, ValueError):
        # An annotation may be one that only a type checker can resolve. Left as text it still tells enough.
        try:
            return inspect.signature(function)
        except (NameError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the parameters of {name} cannot be read ({error}): call it from a function of your own"
            ) from error


def _filled_in(function: object) -> frozenset[str]:
    filled: frozenset[str] = frozenset()
    while isinstance(function, functools.partial):
        filled |= function.keywords.keys()
        function = function.func
    return filled

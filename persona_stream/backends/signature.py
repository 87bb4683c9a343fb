"""Dependency injection by parameter name: passes the fields of a query to the parameters of a callable.

The signature is read once. Each parameter is bound by its annotation and its name:

- annotated ``Query``, or named ``query``: the query.
- named like a field of ``Query``: that field. If the field is ``None``, a default stays.
- ``**kwargs``: every field without a parameter of its own, except ``cancelled``.
- the only required parameter, without annotation and with any other name, if nothing else is bound: the query.
- any other parameter must have a default, and keeps it.

Arguments of a ``functools.partial`` stay as they are.
"""

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

# Internal fields, and fields that only a backend with the matching capability needs, are available from the query.
_UNBOUND_FIELDS = frozenset({"_can_ask", "_context", "_protocol", "parts", "tool_turns", "tools", "tool_choice"})

FIELDS: Mapping[str, Extractor] = {
    name: attrgetter(name)
    for name in (*(field.name for field in fields(Query)), "cancelled")
    if name not in _UNBOUND_FIELDS
}
# The fields for **kwargs can be printed and serialized, which the cancel token cannot.
KEYWORD_FIELDS: Mapping[str, Extractor] = {name: extract for name, extract in FIELDS.items() if name != "cancelled"}
OPTIONAL_FIELDS = frozenset({"prompt", "persona"})
PARAMETER_NAMES = ", ".join(["query", *FIELDS])


def bind_parameters(function: Callable[..., object], name: str) -> ProcessQuery:
    """Return a function of a query that calls ``function`` with the arguments for its parameters.

    Raises:
        ConfigurationError: a parameter cannot be bound, or there is none to bind; the text names ``name``.
    """
    preset = _preset_arguments(function)
    parameters = [parameter for parameter in _parameters(function, name) if parameter.name not in preset]
    kinds = [parameter.kind for parameter in parameters]
    if kinds == [Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD]:
        raise ConfigurationError(
            f"{name} takes *args and **kwargs, which hides its parameters: decorate it with functools.wraps, or name "
            f"its parameters: {PARAMETER_NAMES}"
        )
    binding = _Binding(bound=set(preset))
    unknown = [each for index, each in enumerate(parameters) if not binding.bind(each, index, name)]
    if len(unknown) == 1 and binding.bound == preset and _can_take_query(unknown[0]):
        binding.positional.append(whole_query)
    elif unknown:
        raise ConfigurationError(_unknown_parameter_message(unknown[0], name))
    if Parameter.VAR_KEYWORD in kinds:
        binding.keywords |= {other: extract for other, extract in KEYWORD_FIELDS.items() if other not in binding.bound}
    if not (binding.positional or binding.keywords or binding.unless_none):
        raise ConfigurationError(
            f"{name} takes no part of a query: give it a parameter with one of these names: {PARAMETER_NAMES}"
        )
    return binding.caller(function)


@dataclass(slots=True)
class _Binding:
    """Arguments of a call, as extractors of a query."""

    bound: set[str]
    positional: list[Extractor] = field(default_factory=list)
    keywords: dict[str, Extractor] = field(default_factory=dict)
    unless_none: dict[str, Extractor] = field(default_factory=dict)

    def bind(self, parameter: Parameter, index: int, owner: str) -> bool:
        """Bind a parameter; return whether it is bound or keeps its default."""
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            return True
        has_default = parameter.default is not Parameter.empty
        by_position = parameter.kind is Parameter.POSITIONAL_ONLY
        extract = _extractor_for(parameter, owner)
        if extract is None or (by_position and index > 0):
            return has_default
        self.bound.add(parameter.name)
        if has_default and not by_position and parameter.name in OPTIONAL_FIELDS:
            self.unless_none[parameter.name] = extract
        elif index == 0 and parameter.kind is not Parameter.KEYWORD_ONLY:
            self.positional.append(extract)
        else:
            self.keywords[parameter.name] = extract
        return True

    def caller(self, function: Callable[..., object]) -> ProcessQuery:
        """Return a function of a query that calls ``function``; a function of the whole query stays unwrapped."""
        positional = self.positional
        keywords = self.keywords
        unless_none = self.unless_none
        if positional == [whole_query] and not keywords and not unless_none:
            return function
        if not keywords and not unless_none:
            [extract] = positional
            # A call without ``*`` takes no C stack, of which each waiting greenlet keeps a copy.
            return lambda query: function(extract(query))

        def process_query(query: Query) -> object:
            arguments = {name: extract(query) for name, extract in keywords.items()}
            for name, extract in unless_none.items():
                value = extract(query)
                if value is not None:
                    arguments[name] = value
            return function(*[extract(query) for extract in positional], **arguments)

        return process_query


def whole_query(query: Query) -> Query:
    """Return the query itself."""
    return query


def _extractor_for(parameter: Parameter, owner: str) -> Extractor | None:
    if _is_annotated_query(parameter.annotation):
        return whole_query
    if parameter.name == "query":
        if parameter.annotation in (str, "str"):
            raise ConfigurationError(
                f"the parameter query of {owner} is annotated str, but would get the whole Query: name it message to "
                "get the text, or annotate it Query"
            )
        return whole_query
    return FIELDS.get(parameter.name)


def _is_annotated_query(annotation: object) -> bool:
    if isinstance(annotation, str):
        return annotation.rpartition(".")[2] == Query.__name__
    if get_origin(annotation) in (Union, UnionType, Annotated):
        return Query in get_args(annotation)
    return annotation is Query


def _can_take_query(parameter: Parameter) -> bool:
    """Return whether a required parameter with an unknown name can be meant for the query."""
    return (
        parameter.kind is not Parameter.KEYWORD_ONLY
        and parameter.annotation is Parameter.empty
        and parameter.name not in ("self", "cls")
    )


def _unknown_parameter_message(parameter: Parameter, owner: str) -> str:
    if parameter.name in ("self", "cls"):
        return f"{owner} is a method without its object: name it as module:object.method, with an existing object"
    if parameter.kind is Parameter.POSITIONAL_ONLY and parameter.name in FIELDS:
        return (
            f"the parameter {parameter.name} of {owner} is positional-only, which only the first one can be: remove "
            "the / from the parameters"
        )
    return (
        f"the parameter {parameter.name} of {owner} is not part of a query: give it a default, or one of these "
        f"names: {PARAMETER_NAMES}"
    )


def _parameters(function: Callable[..., object], name: str) -> list[Parameter]:
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, AttributeError, SyntaxError, TypeError, ValueError):
        # Some annotations can be evaluated by a type checker only. As text they still serve.
        try:
            signature = inspect.signature(function)
        except (NameError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"the parameters of {name} cannot be read ({error}): call it from a function of your own"
            ) from error
    return list(signature.parameters.values())


def _preset_arguments(function: object) -> frozenset[str]:
    preset: frozenset[str] = frozenset()
    while isinstance(function, functools.partial):
        preset |= function.keywords.keys()
        function = function.func
    return preset

"""What one parameter gets of a query, and the sentence for one that can get nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from inspect import Parameter
from operator import attrgetter
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from persona_stream.core.query import Query
from persona_stream.errors import StartError

Take = Callable[[Query], object]

# How a query is told of its progress is its own matter, and what takes an ability never reaches a plain callable.
_KEPT = frozenset({"on_report", "on_text", "on_reasoning", "on_upstream", "parts", "since", "tools", "tool_choice"})

FIELDS: Mapping[str, Take] = {field.name: attrgetter(field.name) for field in fields(Query) if field.name not in _KEPT}
# What **kwargs gets: the question, which can be printed and sent on, and nothing that lives.
SPREAD: Mapping[str, Take] = {name: take for name, take in FIELDS.items() if name != "cancelled"}
MAY_BE_NONE = frozenset({"prompt", "persona"})
NAMES = ", ".join(["query", *FIELDS])


def the_query(query: Query) -> Query:
    """Give the whole of it."""
    return query


def what_it_gets(parameter: Parameter, owner: str) -> Take | None:
    """Tell what a parameter takes out of a query, or ``None`` when its name and annotation say nothing.

    Raises:
        StartError: its name says the one thing, and its annotation the other.
    """
    if _says_query(parameter.annotation):
        return the_query
    if parameter.name == "query":
        if parameter.annotation in (str, "str"):
            raise StartError(
                f"the parameter query of {owner} is annotated str, and would get the whole Query: name it message to "
                "get the text, or annotate it Query"
            )
        return the_query
    return FIELDS.get(parameter.name)


def may_be_the_query(parameter: Parameter) -> bool:
    """Tell whether a required parameter with a name of its own can only mean the query."""
    return (
        parameter.kind is not Parameter.KEYWORD_ONLY
        and parameter.annotation is Parameter.empty
        and parameter.name not in ("self", "cls")
    )


def refusal(parameter: Parameter, owner: str) -> str:
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

"""Backends under names of their own, and what clients call them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from persona_stream.errors import SettingsError

DEFAULT = "default"
"""The name of the backend that the settings outside of any table make."""


@dataclass(frozen=True, slots=True)
class Named:
    """Hold what a table ``[backends.NAME]`` says.

    Attributes:
        settings: those that differ from the ones outside of it, by name, and checked.
        models: the names by which clients ask for it.
        fallback: the backend that takes over where this one cannot answer.
    """

    name: str
    settings: Mapping[str, object] = field(repr=False)  # keys are among them
    models: tuple[str, ...] = ()
    fallback: str | None = None


def check(backends: Iterable[Named]) -> None:
    """See that they fit together.

    Raises:
        SettingsError: a model has two backends, or a fallback is none.
    """
    owners: dict[str, str] = {}
    names = {DEFAULT, *(each.name for each in backends)}
    for each in backends:
        if each.fallback is not None and (each.fallback == each.name or each.fallback not in names):
            others = ", ".join(sorted(names - {each.name}))
            raise SettingsError(f"fallback in [backends.{each.name}] must be another backend ({others})")
        for model in each.models:
            if other := owners.get(model):
                raise SettingsError(f"the model {model!r} is in [backends.{other}] and in [backends.{each.name}]")
            owners[model] = each.name

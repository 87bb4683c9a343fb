"""Kinds of settings that hold another kind: several of it, or perhaps none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from persona_stream.settings.kinds import Kind


@dataclass(frozen=True)
class Items:
    """Several of a kind: separated by commas in a text, a list in TOML. An empty text is none at all."""

    kind: Kind

    @property
    def expects(self) -> str:
        return self.kind.expects

    def take(self, value: object) -> tuple[object, ...]:
        match value:
            case str():
                parts: list[object] = [item.strip() for item in value.split(",")] if value.strip() else []
            case list() | tuple():
                parts = list(value)
            case _:
                raise ValueError
        items = tuple(self.kind.take(part) for part in parts)
        if "*" in items and len(items) > 1:
            raise ValueError
        return items

    def show(self, value: tuple[object, ...]) -> str:
        return ",".join(self.kind.show(item) for item in value)


@dataclass(frozen=True)
class Maybe:
    """A kind, or nothing: an empty text, one of ``words``, TOML's ``false``, Python's ``None``."""

    kind: Kind
    words: tuple[str, ...] = ()

    @property
    def expects(self) -> str:
        return f"{self.kind.expects}, or {self.words[0]}" if self.words else self.kind.expects

    def take(self, value: object) -> object:
        if value is None or value is False or value == "" or (isinstance(value, str) and value.lower() in self.words):
            return None
        return self.kind.take(value)

    def show(self, value: Any) -> str:
        if value is None:
            return self.words[0] if self.words else ""
        return self.kind.show(value)

"""One setting: what it is called in three places, what it can be, and what it means."""

from __future__ import annotations

from dataclasses import dataclass

from persona_stream.errors import SettingsError
from persona_stream.settings.kinds import Kind


@dataclass(frozen=True)
class About:
    """Say about a setting what its type does not.

    Attributes:
        meaning: what it does, in one line.
        secret: whether its value must not be shown.
        unset: what an unset value comes to, where that is not plain from it.
    """

    meaning: str
    secret: bool = False
    unset: str = ""


@dataclass(frozen=True)
class Setting:
    """Know a setting: its name (as in TOML, and as the attribute of ``Settings``), its default, its kind."""

    name: str
    default: object
    kind: Kind
    about: About

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "PERSONA_STREAM_" + self.name.upper()

    def take(self, value: object, where: str) -> object:
        """Give the value in its right type.

        Args:
            value: a text, or a value of TOML or of code.
            where: what the user calls the place where it stood.

        Raises:
            SettingsError: it is wrong; the sentence names ``where``.
        """
        try:
            return self.kind.take(value)
        except ValueError:
            raise SettingsError(f"{where} must be {self.kind.expects}{self._but_is(value)}") from None

    def show(self, value: object) -> str:
        """Write a value for people; of a secret, only that it is there."""
        if self.about.secret and value not in (None, self.default):
            return "(set, not shown)"
        return self.kind.show(value) or self.about.unset or "none"

    def _but_is(self, value: object) -> str:
        text = str(value)
        # An address may hold a password, also one that stands in the wrong place.
        if self.about.secret or "@" in text or not text.isprintable():
            return ""
        return f', not "{text[:60]}{"…" if len(text) > 60 else ""}"'

"""Texts of the client in both languages, from ``texts.toml``."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Literal

Language = Literal["en", "zh"]
Table = Mapping[str, Mapping[Language, str]]
"""Texts by key and language."""

_TABLES: Mapping[str, Table] = tomllib.loads(
    resources.files("persona_stream.client").joinpath("texts.toml").read_text("utf-8")
)
MESSAGES = _TABLES["messages"]
REASONS = _TABLES["reasons"]
ERRORS = _TABLES["errors"]
REFUSALS = _TABLES["refusals"]
HINTS = _TABLES["hints"]
DOCTOR = _TABLES["doctor"]


class Texts:
    """Texts in one language."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def format(self, name: str, **values: object) -> str:
        """Return a message with its fields filled in."""
        return MESSAGES[name][self._language].format(**values)

    def doctor(self, name: str, **values: object) -> str:
        """Return a text of the path doctor with its fields filled in."""
        return DOCTOR[name][self._language].format(**values)

    def reconnecting(self, code: str, wait: float) -> str:
        """Return the message that the next attempt follows after ``wait`` seconds."""
        return self.format("reconnecting", reason=REASONS.get(code, REASONS["other"])[self._language], wait=wait)

    def error(self, code: str, detail: str = "") -> str:
        """Return the description of an error."""
        return ERRORS.get(code, ERRORS["other"])[self._language].format(code=code, detail=detail).rstrip(" :：")

    def refusal(self, code: str, text: str) -> str:
        """Return the server's text of a refusal, after a description in the user's language where that is another."""
        title = REFUSALS.get(code, {}).get(self._language)
        return f"{title}（{text}）" if title else text

    def hint(self, code: str) -> str:
        """Return the next step after an error, empty if there is none."""
        default = HINTS["http_5xx" if code.startswith("http_5") else "http"]
        return HINTS.get(code, default)[self._language]


def detect_language(environ: Mapping[str, str]) -> Language:
    """Return the language of the locale variables: ``zh``, else ``en``."""
    name = next((environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(key)), "")
    return "zh" if name.lower().startswith("zh") else "en"

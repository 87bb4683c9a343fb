"""What the client itself says: the form of it. ``texts_en`` and ``texts_zh`` hold the words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Texts:
    """Hold every text in one language. Braces are filled in with ``str.format``.

    Attributes:
        reasons: why the client connects again, by code.
        errors: what happened, by code, for those that the server gave no text for.
        hints: what to do now, by code.
    """

    connecting: str
    waiting: str
    queued: str
    reconnecting: str
    reasons: Mapping[str, str]
    cancelling: str
    seconds: str
    whole_seconds: str
    about_left: str
    at_most_left: str
    error: str
    hint: str
    done: str
    continue_with: str
    cancelled: str
    cancel_unheard: str
    incomplete: str
    retry_after: str
    credential_missing: str
    credential_malformed: str
    bad_address: str
    not_text: str
    empty_message: str
    errors: Mapping[str, str]
    hints: Mapping[str, str]

    def error_of(self, code: str, detail: str = "") -> str:
        """Say what happened."""
        text = self.errors.get(code, self.errors["other"])
        return text.format(code=code, detail=detail).rstrip(" :：")

    def reconnecting_because(self, code: str, wait: float) -> str:
        """Say that the next attempt follows in so many seconds."""
        return self.reconnecting.format(why=self.reasons.get(code, self.reasons["other"]), wait=wait)

    def hint_of(self, code: str) -> str:
        """Say what to do now; empty when there is nothing to advise."""
        if code in self.hints:
            return self.hints[code]
        return self.hints["http_5"] if code.startswith("http_5") else self.hints.get("http", "")


def language_of(environ: Mapping[str, str]) -> str:
    """Tell the language that the environment asks for: ``zh``, else ``en``."""
    name = next((environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(key)), "")
    return "zh" if name.lower().startswith("zh") else "en"

"""Read the tables ``[backends.NAME]`` of a settings file.

backend = "openai"                 # the default backend, as ever
openai_model = "gpt-4o-mini"

[backends.careful]                 # another one: the settings in which it differs
backend = "anthropic"
anthropic_model = "claude-sonnet-5"
models = ["careful", "claude-sonnet-5"]

[backends.default]                 # what else there is to say of the default one
fallback = "careful"
"""

from __future__ import annotations

import difflib
import re

from persona_stream.errors import SettingsError
from persona_stream.settings.named import DEFAULT, Named
from persona_stream.settings.table import BY_NAME

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_MODEL = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_DIFFERING = ("backend", *(name for name in BY_NAME if name.startswith(("openai_", "anthropic_"))))


def read_backends(value: object, file: str) -> tuple[Named, ...]:
    """Read what stands under ``backends``.

    Raises:
        SettingsError: a name or a value is wrong, in one sentence that names it.
    """
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise SettingsError(f"backends in {file} must be tables, as in [backends.NAME]")
    return tuple(_read(name, table, f"[backends.{name}] in {file}") for name, table in value.items())


def _read(name: str, table: dict[str, object], where: str) -> Named:
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{where}: a backend's name has up to 64 of A-Z a-z 0-9 . _ -")
    given = dict(table)
    fallback, models = given.pop("fallback", None), given.pop("models", () if name == DEFAULT else [name])
    if fallback is not None and not isinstance(fallback, str):
        raise SettingsError(f"fallback of {where} must be the name of a backend")
    if not isinstance(models, list | tuple) or not all(isinstance(m, str) and _MODEL.fullmatch(m) for m in models):
        raise SettingsError(f"models of {where} must be a list of names")
    if name == DEFAULT and given:
        raise SettingsError(f"{next(iter(given))} of {where}: say that outside of any table")
    for key in given:
        if key not in _DIFFERING:
            close = difflib.get_close_matches(key, [*_DIFFERING, "models", "fallback"], n=1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise SettingsError(f"{key} of {where} is no setting of a backend{hint}")
    settings = {key: BY_NAME[key].take(value, f"{key} of {where}") for key, value in given.items()}
    if settings.get("backend") == "demo":
        raise SettingsError(f"backend of {where} cannot be demo, which only answers as the default")
    return Named(name, settings, tuple(models), fallback)

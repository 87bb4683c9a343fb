"""Where settings come from: a flag beats the environment, which beats the file.

Whatever is given is checked, also where something else beats it: a typing error that sleeps is found the day
somebody takes the flag away.

Read the tables ``[backends.NAME]`` of a settings file.

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
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from persona_stream.errors import SettingsError
from persona_stream.settings.schema import BY_NAME, DEFAULT, SETTINGS, BackendConfig, Settings
from persona_stream.settings.types import Setting

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_MODEL = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_DIFFERING = ("backend", *(name for name in BY_NAME if name.startswith(("openai_", "anthropic_"))))


def read_backends(value: object, file: str) -> tuple[BackendConfig, ...]:
    """Read what stands under ``backends``.

    Raises:
        SettingsError: a name or a value is wrong, in one sentence that names it.
    """
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise SettingsError(f"backends in {file} must be tables, as in [backends.NAME]")
    return tuple(_tables_read(name, table, f"[backends.{name}] in {file}") for name, table in value.items())


def _tables_read(name: str, table: dict[str, object], where: str) -> BackendConfig:
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
    return BackendConfig(name, settings, tuple(models), fallback)


PREFIX = "PERSONA_STREAM_"
CONFIG_VARIABLE = "PERSONA_STREAM_CONFIG"
_BACKENDS = "backends"  # the key of the tables that are no settings
TOKEN_VARIABLE = "PERSONA_STREAM_TOKEN"  # nosec B105 # noqa: S105  a variable's name; the chat client reads its token there

_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}
# Kubernetes gives every pod such variables for each Service of its namespace: here for one called persona-stream,
# and for those beside it whose names begin so (persona-stream-redis).
_INJECTED = re.compile(
    r"PERSONA_STREAM_(SERVICE_.*|PORT_.*|\w+_SERVICE_(HOST|PORT(_\w+)?)|\w+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_INJECTED_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")


class Resolved(NamedTuple):
    """A value that somebody gave, and what they call the place."""

    value: object
    where: str


def load_settings(
    flags: Mapping[str, str | None], environ: Mapping[str, str], config: Path | None
) -> tuple[Settings, list[str]]:
    """Read the settings from the three places where they may stand.

    Args:
        flags: texts by setting name; ``None`` is a flag that was not used.
        environ: the environment. ``PERSONA_STREAM_CONFIG`` names the file when ``config`` does not.
        config: the TOML file.

    Returns:
        The settings, and sentences to warn the operator with.

    Raises:
        SettingsError: a name or a value is wrong, in one sentence that names it.
    """
    file, table = _read(environ, config)
    given, warnings = _gather(flags, environ, file, table)
    # A mapping of names to checked values: their types are the table's, which mypy cannot follow here.
    values: dict[str, Any] = {name: one.value for name, one in given.items()}
    return Settings(**values, backends=read_backends(table.get(_BACKENDS, {}), str(file))), warnings


def resolve(
    flags: Mapping[str, str | None], environ: Mapping[str, str], config: Path | None
) -> tuple[dict[str, Resolved], list[str]]:
    """Give every setting that stands somewhere, checked, from the place that counts; and the warnings.

    Raises:
        SettingsError: as in ``load``.
    """
    return _gather(flags, environ, *_read(environ, config))


def _gather(
    flags: Mapping[str, str | None], environ: Mapping[str, str], file: Path | None, table: Mapping[str, object]
) -> tuple[dict[str, Resolved], list[str]]:
    warnings: list[str] = []
    given: dict[str, Resolved] = {}
    for place in (_from_file(file, table), _from_environ(environ, warnings), _from_flags(flags)):
        for setting, value, where in place:
            given[setting.name] = Resolved(setting.take(value, where), where)
    return given, warnings


def _from_flags(flags: Mapping[str, str | None]) -> Iterator[tuple[Setting, object, str]]:
    for name, text in flags.items():
        if name not in BY_NAME:
            raise _unknown("--" + name.replace("_", "-"), name, lambda close: "--" + close.replace("_", "-"))
        if text is not None:
            yield BY_NAME[name], text, BY_NAME[name].flag


def _from_environ(environ: Mapping[str, str], warnings: list[str]) -> Iterator[tuple[Setting, object, str]]:
    injected: list[str] = []
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in (CONFIG_VARIABLE, TOKEN_VARIABLE):
            continue
        address = variable.endswith("_PORT") and _INJECTED_ADDRESS.fullmatch(text)
        if variable in _BY_VARIABLE and not address:
            yield _BY_VARIABLE[variable], text, variable
        elif address or _INJECTED.fullmatch(variable):
            injected.append(variable)
        else:
            raise _unknown(
                variable, variable.removeprefix(PREFIX), lambda close: PREFIX + close.upper(), "config", "token"
            )
    if injected:
        warnings.append(
            f"Ignored {', '.join(sorted(injected))}, which Kubernetes sets for a Service of this name "
            "(enableServiceLinks: false in the pod's spec ends that)"
        )


def _from_file(file: Path | None, table: Mapping[str, object]) -> Iterator[tuple[Setting, object, str]]:
    for name, value in table.items():
        if name in BY_NAME:
            yield BY_NAME[name], value, f"{name} in {file}"
        elif name != _BACKENDS:
            raise _unknown(f"{name} in {file}", name, str)


def _read(environ: Mapping[str, str], config: Path | None) -> tuple[Path | None, Mapping[str, object]]:
    """Give the settings file and what is in it; nothing, where there is none."""
    file = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if file is None:
        return None, {}
    try:
        return file, tomllib.loads(file.expanduser().read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings file {file} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The settings file {file} is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"The settings file {file} is not TOML: it is not UTF-8") from None


def _unknown(shown: str, name: str, write: Callable[[str], str], *besides: str) -> SettingsError:
    # Bare names are compared: with the prefix that all have, everything would be close to everything.
    close = difflib.get_close_matches(name.lower().replace("-", "_"), [*BY_NAME, *besides], n=1)
    hint = f"did you mean {write(close[0])}?" if close else "`persona-stream settings` lists those there are"
    return SettingsError(f"{shown} is not a setting: {hint}")

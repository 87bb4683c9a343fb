"""Loader of settings: a flag overrides the environment, which overrides the TOML file.

Every value is checked, even one that another source overrides, so that a mistake does not surface years later.

Tables ``[backends.NAME]`` of the file configure further backends:

    backend = "openai"                 # the default backend
    openai_model = "gpt-4o-mini"

    [backends.careful]                 # the settings in which another backend differs
    backend = "anthropic"
    anthropic_model = "claude-sonnet-5"
    models = ["careful", "claude-sonnet-5"]

    [backends.default]                 # extra settings for the default backend
    fallback = "careful"

Tables ``[endpoints."PATH"]`` configure single addresses:

    [endpoints."/api/stream_chat_smart"]
    timeout = "5m"
    rate_limit = "10/minute"
    interval = 1                       # of the three streams only, as the next two
    chunk_size = 40
    pause = 0.02

The table ``[status_messages]`` has status texts of the operator's own, by language:

    [status_messages]
    ja = ["考えています…", "もうすぐです…"]
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from persona_stream.errors import SettingsError
from persona_stream.settings.schema import (
    BY_NAME,
    DEFAULT,
    ENDPOINT_SETTINGS,
    WITHDRAWN,
    BackendConfig,
    EndpointConfig,
    Settings,
    parse_status_messages,
    parse_value,
)

PREFIX = "PERSONA_STREAM_"
CONFIG_VARIABLE = "PERSONA_STREAM_CONFIG"
TOKEN_VARIABLE = "PERSONA_STREAM_TOKEN"  # nosec B105 # noqa: S105  a variable of the chat client
_BACKENDS = "backends"
_ENDPOINTS = "endpoints"
_STATUS_MESSAGES = "status_messages"
_BACKEND_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_MODEL_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_BACKEND_SETTINGS = ("backend", *(name for name in BY_NAME if name.startswith(("openai_", "anthropic_"))))
# Kubernetes sets such variables in every pod for each Service of its namespace: here for a Service persona-stream,
# and for others whose names begin with that (persona-stream-redis).
_INJECTED = re.compile(
    r"PERSONA_STREAM_(SERVICE_.*|PORT_.*|\w+_SERVICE_(HOST|PORT(_\w+)?)|\w+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_INJECTED_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")


class LoadedSettings(NamedTuple):
    """Settings, warnings for the operator, and the source of each setting that is set."""

    settings: Settings
    warnings: list[str]
    sources: dict[str, str]


def load_settings(flags: Mapping[str, str | None], environ: Mapping[str, str], config: Path | None) -> LoadedSettings:
    """Load the settings from flags (``None`` for one that is not given), the environment and a TOML file.

    The variable ``PERSONA_STREAM_CONFIG`` names the file if ``config`` does not.

    Raises:
        SettingsError: a name is unknown or a value not allowed.
    """
    file, table = _read_file(environ, config)
    backends = _parse_backends(table.pop(_BACKENDS, {}), f"{file}")
    endpoints = _parse_endpoints(table.pop(_ENDPOINTS, {}), f"{file}")
    messages = parse_status_messages(table.pop(_STATUS_MESSAGES, {}), f"[{_STATUS_MESSAGES}] in {file}")
    warnings: list[str] = []
    origins: list[tuple[Iterable[tuple[str, object, str]], Callable[[str], str]]] = [
        ([(name, value, f"{name} in {file}") for name, value in table.items()], str),
        (_variables(environ, warnings), lambda name: PREFIX + name.upper()),
        ([(name, text, _flag(name)) for name, text in flags.items()], _flag),
    ]
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    withdrawn: list[str] = []
    for items, spell in origins:
        for name, value, source in items:
            if name in WITHDRAWN:
                withdrawn += [source] * (value is not None)
            elif name not in BY_NAME:
                raise _unknown(source, name, spell)
            elif value is not None:
                values[name] = BY_NAME[name].parse(value, source)
                sources[name] = source
    if withdrawn:
        warnings.append(f"Ignored {', '.join(withdrawn)}: withdrawn, and without effect")
    settings = Settings(**values, backends=backends, endpoints=endpoints, status_messages=messages)
    return LoadedSettings(settings, warnings, sources)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variables(environ: Mapping[str, str], warnings: list[str]) -> Iterator[tuple[str, object, str]]:
    injected: list[str] = []
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in (CONFIG_VARIABLE, TOKEN_VARIABLE):
            continue
        name = variable.removeprefix(PREFIX).swapcase()  # a variable in lower case stays unknown
        is_address = variable.endswith("_PORT") and _INJECTED_ADDRESS.fullmatch(text)
        if is_address or (name not in (*BY_NAME, *WITHDRAWN) and _INJECTED.fullmatch(variable)):
            injected.append(variable)
        else:
            yield name, text, variable
    if injected:
        hint = "(enableServiceLinks: false in the pod's spec prevents that)"
        names = ", ".join(sorted(injected))
        warnings.append(f"Ignored {names}, which Kubernetes sets for a Service of this name {hint}")


def _read_file(environ: Mapping[str, str], config: Path | None) -> tuple[Path | None, dict[str, object]]:
    """Return the path of the settings file and its content; ``None`` and nothing without a file."""
    file = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if file is None:
        return None, {}
    try:
        return file, tomllib.loads(file.expanduser().read_text("utf-8-sig"))  # editors of Windows add a mark
    except OSError as error:
        raise SettingsError(f"Cannot read the settings file {file}: {error.strerror}") from None
    except ValueError as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise SettingsError(f"The settings file {file} is not valid TOML: {why}") from None


def _unknown(where: str, name: str, spell: Callable[[str], str]) -> SettingsError:
    # Bare names are compared: with the common prefix, every name would be close to every other.
    others = ("config", "token") if where.startswith(PREFIX) else ()
    close = difflib.get_close_matches(name.lower().replace("-", "_"), [*BY_NAME, *others], n=1)
    hint = f"did you mean {spell(close[0])}?" if close else "`persona-stream settings` lists them all"
    return SettingsError(f"{where} is not a setting: {hint}")


def _tables(value: object, where: str, example: str) -> dict[str, dict[str, object]]:
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        raise SettingsError(f"{where} must be tables, as in {example}")
    return value


def _parse_endpoints(value: object, file: str) -> tuple[EndpointConfig, ...]:
    tables = _tables(value, f"{_ENDPOINTS} in {file}", '[endpoints."/api/chat"]')
    return tuple(_parse_endpoint(path, table, f'[endpoints."{path}"] in {file}') for path, table in tables.items())


def _parse_endpoint(path: str, table: dict[str, object], where: str) -> EndpointConfig:
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in ENDPOINT_SETTINGS:
            close = difflib.get_close_matches(name, ENDPOINT_SETTINGS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"use {', '.join(ENDPOINT_SETTINGS)}"
            raise SettingsError(f"{name} of {where} is not a setting of an endpoint: {hint}")
        found = parse_value(value, ENDPOINT_SETTINGS[name], f"{name} of {where}")
        values[name] = "off" if found is None else found
    return EndpointConfig(path, **values)


def _parse_backends(value: object, file: str) -> tuple[BackendConfig, ...]:
    tables = _tables(value, f"{_BACKENDS} in {file}", "[backends.NAME]")
    return tuple(_parse_backend(name, table, f"[backends.{name}] in {file}") for name, table in tables.items())


def _parse_backend(name: str, table: dict[str, object], where: str) -> BackendConfig:
    if not _BACKEND_NAME.fullmatch(name):
        raise SettingsError(f"{where}: the name must have 1 to 64 characters of A-Z a-z 0-9 . _ -")
    given = dict(table)
    fallback = given.pop("fallback", None)
    models = given.pop("models", () if name == DEFAULT else [name])
    if fallback is not None and not isinstance(fallback, str):
        raise SettingsError(f"fallback of {where} must be the name of a backend")
    if not isinstance(models, list | tuple) or not all(isinstance(m, str) and _MODEL_NAME.fullmatch(m) for m in models):
        raise SettingsError(f"models of {where} must be a list of names")
    if name == DEFAULT and given:
        raise SettingsError(f"{next(iter(given))} of {where} must stand outside of any table")
    for key in given:
        if key not in _BACKEND_SETTINGS:
            close = difflib.get_close_matches(key, [*_BACKEND_SETTINGS, "models", "fallback"], n=1)
            hint = f": did you mean {close[0]}?" if close else ""
            raise SettingsError(f"{key} of {where} is not a setting of a backend{hint}")
    settings = {key: BY_NAME[key].parse(value, f"{key} of {where}") for key, value in given.items()}
    if settings.get("backend") == "demo":
        raise SettingsError(f"backend of {where} must not be demo, which can only be the default backend")
    return BackendConfig(name=name, settings=settings, models=tuple(models), fallback=fallback)

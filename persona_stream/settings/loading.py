"""Where settings come from: a flag beats the environment, which beats the file.

Whatever is given is checked, also where something else beats it: a typing error that sleeps is found the day
somebody takes the flag away.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from persona_stream.errors import SettingsError
from persona_stream.settings.setting import Setting
from persona_stream.settings.table import BY_NAME, SETTINGS, Settings
from persona_stream.settings.tables import read_backends

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


class Given(NamedTuple):
    """A value that somebody gave, and what they call the place."""

    value: object
    where: str


def load(
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


def gather(
    flags: Mapping[str, str | None], environ: Mapping[str, str], config: Path | None
) -> tuple[dict[str, Given], list[str]]:
    """Give every setting that stands somewhere, checked, from the place that counts; and the warnings.

    Raises:
        SettingsError: as in ``load``.
    """
    return _gather(flags, environ, *_read(environ, config))


def _gather(
    flags: Mapping[str, str | None], environ: Mapping[str, str], file: Path | None, table: Mapping[str, object]
) -> tuple[dict[str, Given], list[str]]:
    warnings: list[str] = []
    given: dict[str, Given] = {}
    for place in (_from_file(file, table), _from_environ(environ, warnings), _from_flags(flags)):
        for setting, value, where in place:
            given[setting.name] = Given(setting.take(value, where), where)
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

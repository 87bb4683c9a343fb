"""Settings of the server: the name, type, bounds, default and description of each, in one place.

The flags of ``serve``, the environment variables, the keys of the TOML file and the table in the README are derived
from the fields of ``Settings``, so that a new setting is a field here and its reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta

from persona_stream.errors import SettingsError
from persona_stream.settings import types

DEFAULT = "default"
"""Name of the backend that the settings outside of any table configure."""

WITHDRAWN = ("commit_window_stream", "heartbeat_override")
"""Former settings, which are accepted with a warning and have no effect."""


def about(description: str, *, unset: str = "", secret: bool = False) -> Meta:
    """Return a field's description for help and tables.

    Args:
        description: one line, without a period.
        unset: meaning of the unset value, where the value does not show it.
        secret: whether the value must not be shown.
    """
    return Meta(description=description, extra={"unset": unset, "secret": secret})


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """Table ``[backends.NAME]`` of a settings file.

    Attributes:
        name: name of the backend.
        settings: checked settings in which it differs from those outside of any table.
        models: names by which clients request it.
        fallback: backend that takes over if this one is unavailable.
    """

    name: str
    settings: Mapping[str, object] = field(repr=False)  # contains API keys
    models: tuple[str, ...] = ()
    fallback: str | None = None


def validate_backends(backends: Iterable[BackendConfig]) -> None:
    """Raise ``SettingsError`` if a model belongs to two backends, or a fallback does not exist."""
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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings, checked. ``Settings()`` has the defaults; ``Settings(port=0, timeout=2.0)`` changes some.

    Durations are in seconds, sizes in bytes. ``None`` means never, off or unset.

    Raises:
        SettingsError: a value is not allowed.
    """

    host: Annotated[types.Host, about("Address to listen on")] = "127.0.0.1"
    port: Annotated[types.Port, about("Port to listen on; `0` picks a free one")] = 5001
    backend: Annotated[
        types.BackendName, about("Backend: `demo`, `openai`, `anthropic`, `module:function` or `module:object.method`")
    ] = "demo"
    executor: Annotated[types.ExecutorName, about("Where queries run: `greenlet`, `thread` or `process`")] = "greenlet"
    threads: Annotated[
        types.ThreadCount, about("Worker threads; with `process`, worker processes (default: 2 per CPU, at least 8)")
    ] = 64
    timeout: Annotated[types.PositiveDuration, about("Deadline of a run, counted from its start")] = 150.0
    profiles: Annotated[
        types.OptionalPath, about("Directory of personas", unset="the demo's own for `demo`, else none")
    ] = None
    demo_seconds: Annotated[types.Duration, about("How long the demo takes for an answer")] = 8.0

    jwt_secret: Annotated[
        types.OptionalText,
        about(
            "Secret that signs tokens, at least 32 bytes", unset="generated, kept in the state directory", secret=True
        ),
    ] = None
    jwt_public_key: Annotated[types.OptionalPath, about("PEM file with the public key that verifies tokens")] = None
    jwks_url: Annotated[types.OptionalURL, about("URL of the public keys (JWKS) that verify tokens")] = None
    jwt_algorithms: Annotated[
        types.Algorithms, about("Accepted signature algorithms", unset="all that fit the key")
    ] = ()
    jwt_audience: Annotated[types.Texts, about("Accepted values of the `aud` claim")] = ()
    jwt_issuer: Annotated[types.OptionalText, about("Required value of the `iss` claim")] = None
    jwt_leeway: Annotated[types.Duration, about("Tolerated clock difference when `exp` and `nbf` are checked")] = 0.0

    cors_origins: Annotated[types.Origins, about("Web pages that may call the API: `*`, or exact origins")] = ("*",)
    max_body_bytes: Annotated[types.Size, about("Maximum size of a request body")] = 2**20
    max_answer_bytes: Annotated[types.Size, about("Maximum size of an answer")] = 16 * 2**20
    disconnect_grace: Annotated[
        types.DurationOrNever, about("How long a run continues after its last client disconnects")
    ] = 30.0
    disconnect_grace_v1: Annotated[
        types.DurationOrNever, about("The same for `/api/chat` and `/v1/…`, whose clients cancel by disconnecting")
    ] = 5.0
    retention: Annotated[types.Duration, about("How long a finished run can be read")] = 900.0
    retention_bytes: Annotated[types.Size, about("Maximum total size of finished runs")] = 256 * 2**20
    drain: Annotated[types.OptionalDuration, about("How long a shutdown waits for runs", unset="same as `timeout`")] = (
        None
    )

    log_level: Annotated[types.LogLevel, about("Log level: `debug`, `info`, `warning` or `error`")] = "info"
    log_format: Annotated[types.LogFormat, about("Log format: `text` or `json`")] = "text"

    openai_base_url: Annotated[
        types.OptionalURL, about("Base URL of an OpenAI-compatible provider, including `/v1`")
    ] = None
    openai_api_key: Annotated[types.OptionalText, about("API key of the OpenAI-compatible provider", secret=True)] = (
        None
    )
    openai_model: Annotated[types.OptionalText, about("Model to request from the OpenAI-compatible provider")] = None
    openai_stream: Annotated[types.Switch, about("Whether to request streams from the OpenAI-compatible provider")] = (
        False
    )
    anthropic_base_url: Annotated[
        types.OptionalURL, about("Base URL of an Anthropic provider, with or without `/v1`")
    ] = None
    anthropic_api_key: Annotated[types.OptionalText, about("API key of the Anthropic provider", secret=True)] = None
    anthropic_model: Annotated[types.OptionalText, about("Model to request from the Anthropic provider")] = None
    anthropic_max_tokens: Annotated[
        types.PositiveCount, about("Maximum tokens of an answer if the client sets no limit")
    ] = 4096
    anthropic_stream: Annotated[types.Switch, about("Whether to request streams from the Anthropic provider")] = False

    commit_window: Annotated[
        types.DurationOrOff,
        about("Delay before non-streaming responses commit to 200 (keeps proxies alive afterwards)"),
    ] = None

    redis_url: Annotated[types.OptionalText, about("Redis that shares runs between processes", secret=True)] = None
    workers: Annotated[types.PositiveCount, about("Number of server processes")] = 1
    lease: Annotated[types.PositiveDuration, about("Heartbeat timeout after which a process is considered dead")] = 15.0
    max_connection_age: Annotated[types.DurationOrOff, about("Age at which a connection moves to another process")] = (
        None
    )
    trusted_proxies: Annotated[types.Networks, about("Proxies whose `X-Forwarded-*` headers are trusted")] = ()

    database_url: Annotated[
        types.OptionalDatabaseURL,
        about("Database of conversations and the request log; `sqlite:///` is in the state directory", secret=True),
    ] = "sqlite:///"
    state_dir: Annotated[
        types.OptionalPath,
        about("Directory of the generated secret and the SQLite file", unset="the platform's state directory"),
    ] = None
    log_bodies: Annotated[types.Switch, about("Whether the request log stores questions and answers")] = True
    log_reasoning: Annotated[types.Switch, about("Whether the request log stores reasoning")] = True
    log_retention: Annotated[types.Duration, about("How long the request log is kept")] = 30 * 86_400.0
    prices: Annotated[types.Text, about("Price list of models: `bundled`, or a file")] = "bundled"

    max_runs: Annotated[types.PositiveCount, about("Maximum concurrent runs of a process")] = 10_000
    max_runs_shared: Annotated[
        types.OptionalCount, about("Maximum concurrent runs across all processes sharing a Redis")
    ] = None
    max_runs_per_user: Annotated[types.PositiveCount, about("Maximum concurrent runs of one user")] = 100
    max_queue: Annotated[types.Count, about("Maximum number of queued runs")] = 1000
    queue_timeout: Annotated[types.Duration, about("How long a run may wait in the queue")] = 60.0
    rate_limit: Annotated[types.OptionalRate, about("Rate limit per caller and endpoint, such as `60/minute`")] = None

    # Tables of the settings file, which neither a flag nor a variable can hold.
    backends: tuple[BackendConfig, ...] = ()

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            value = setting.parse(getattr(self, setting.name), setting.name)
            msgspec.structs.force_setattr(self, setting.name, value)
        validate_backends(self.backends)
        keys = [name for name in ("jwt_secret", "jwt_public_key", "jwks_url") if getattr(self, name) is not None]
        if len(keys) > 1:
            raise SettingsError(f"{' and '.join(keys)} are set, but tokens are verified with only one of them")

    def __repr__(self) -> str:
        changed = [each for each in SETTINGS if getattr(self, each.name) != each.default]
        return f"Settings({', '.join(f'{each.name}={each.format(getattr(self, each.name))}' for each in changed)})"

    def for_backend(self, backend: BackendConfig) -> Settings:
        """Return the settings of one of the backends."""
        return msgspec.structs.replace(self, backends=(), **cast("Any", backend.settings))

    @property
    def drain_time(self) -> float:
        """How long a shutdown waits for runs, in seconds."""
        return self.timeout if self.drain is None else self.drain


@dataclass(frozen=True)
class Setting:
    """One field of ``Settings``: its names, and conversion from and to text."""

    name: str
    default: object
    annotation: Any
    description: str
    unset: str
    secret: bool

    def parse(self, value: object, where: str) -> Any:
        """Return a text, or a value from TOML or from code, in the type of the setting.

        Args:
            value: the value.
            where: name of its source for the error.

        Raises:
            SettingsError: the value is not allowed.
        """
        try:
            return types.convert(value, self.annotation)
        except ValueError as error:
            text = str(value)
            # A URL can contain a password, even in the wrong setting.
            is_hidden = self.secret or "@" in text or not text.isprintable()
            shown = "" if is_hidden else f', not "{text[:60]}{"…" if len(text) > 60 else ""}"'
            raise SettingsError(f"{where} must be {error}{shown}") from None

    def format(self, value: object) -> str:
        """Return a value as text; of a secret, only whether it is set."""
        if self.secret and value not in (None, self.default):
            return "(set, not shown)"
        return types.format_value(value, self.annotation) or self.unset or "none"


def _settings() -> Iterator[Setting]:
    for each in msgspec.structs.fields(Settings):
        if each.name != "backends":
            meta = each.type.__metadata__[-1]
            yield Setting(each.name, each.default, each.type, meta.description, **meta.extra)


SETTINGS: tuple[Setting, ...] = tuple(_settings())
BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}

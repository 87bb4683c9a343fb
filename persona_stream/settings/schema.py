"""Settings of the server: the name, type, bounds, default and description of each, in one place.

The flags of ``serve``, the environment variables, the keys of the TOML file and docs/SETTINGS.md are derived from the
fields of ``Settings``, so that a new setting is a field here and the code that uses it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import msgspec

from persona_stream.errors import SettingsError
from persona_stream.settings import types as t

DEFAULT = "default"
"""Name of the backend that the settings outside of any table configure."""

TABLES = ("backends", "endpoints", "status_messages")
"""Settings that are tables of the settings file."""

GROUPS = {
    "host": "Server",
    "backend": "Backend",
    "jwt_secret": "Authentication",  # nosec B105: a heading
    "cors_origins": "Requests and runs",
    "log_level": "Log",
    "openai_base_url": "Providers",
    "commit_window": "Other protocols",
    "redis_url": "Several processes",
    "database_url": "Conversations and request log",
    "cache": "Answer cache",
    "max_runs": "Load limits",
}
"""Headings of the settings, by the first one of each group."""

WITHDRAWN = ("commit_window_stream", "heartbeat_override")
"""Former settings, which are accepted with a warning and have no effect."""


def doc(description: str, *, unset: str = "", secret: bool = False) -> msgspec.Meta:
    """Return a field's description for help and tables, the meaning of its unset value, and whether to hide it."""
    return msgspec.Meta(description=description, extra={"unset": unset, "secret": secret})


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """Table ``[backends.NAME]`` of a settings file: what differs from the settings outside of any table."""

    name: str
    settings: Mapping[str, object] = field(repr=False)  # contains API keys
    models: tuple[str, ...] = ()  # names by which clients request it
    fallback: str | None = None  # backend that takes over if this one is unavailable


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Table ``[endpoints."PATH"]`` of a settings file: limits of one address. ``None`` leaves the server's own."""

    path: str
    timeout: float | None = None  # deadline of its runs, in seconds
    rate_limit: str = ""  # empty for the server's own; "off" for none
    interval: float | None = None  # seconds between progress events
    chunk_size: int | None = None  # characters
    pause: float | None = None  # seconds between chunks


ENDPOINT_SETTINGS: Mapping[str, Any] = {
    "timeout": t.PositiveDuration,
    "rate_limit": t.OptionalRate,
    "interval": t.Interval,
    "chunk_size": t.ChunkSize,
    "pause": t.Pause,
}
"""Types of the settings of an endpoint, by name."""


_LANGUAGE = re.compile(r"[a-z]{2,3}")
_MAX_STATUS_CHARACTERS = 200


def parse_status_messages(value: object, where: str) -> Mapping[str, tuple[str, ...]]:
    """Return the status texts of each language, from a table of lists.

    Raises:
        SettingsError: a language is not a code such as ``ja``, or has no texts, or a text is blank or too long.
    """
    if not isinstance(value, Mapping):
        raise SettingsError(f'{where} must be a table of lists, as in ja = ["考えています…"]')
    for language, texts in value.items():
        if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
            raise SettingsError(f"{where}: {language!r} is not the code of a language, such as ja")
        if not isinstance(texts, list | tuple) or not texts or not all(map(_is_status_text, texts)):
            limit = f"texts of 1 to {_MAX_STATUS_CHARACTERS} characters"
            raise SettingsError(f"{language} of {where} must be a list of {limit}")
    return {language: tuple(texts) for language, texts in value.items()}


def _is_status_text(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip()) and len(text) <= _MAX_STATUS_CHARACTERS


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

    host: Annotated[t.Host, doc("Address to listen on")] = "127.0.0.1"
    port: Annotated[t.Port, doc("Port to listen on; `0` picks a free one")] = 5001
    backend: Annotated[
        t.BackendName, doc("Backend: `demo`, `openai`, `anthropic`, `module:function` or `module:object.method`")
    ] = "demo"
    executor: Annotated[
        t.ExecutorName, doc("Where queries run: `auto`, `greenlet`, `thread`, `process` or `celery`")
    ] = "auto"
    threads: Annotated[
        t.ThreadCount, doc("Worker threads; with `process`, worker processes (default: 2 per CPU, at least 8)")
    ] = 200
    timeout: Annotated[t.PositiveDuration, doc("Deadline of a run, counted from its start")] = 150.0
    max_timeout: Annotated[
        t.OptionalDuration, doc("Longest deadline that a request may ask for", unset="same as `timeout`")
    ] = None
    profiles: Annotated[t.OptionalPath, doc("Directory of personas", unset="the demo's own for `demo`, else none")] = (
        None
    )
    demo_seconds: Annotated[t.Duration, doc("How long the demo takes to answer")] = 8.0

    jwt_secret: Annotated[
        t.OptionalText,
        doc(
            "Secret that signs tokens, at least 32 bytes", unset="generated, stored in the state directory", secret=True
        ),
    ] = None
    jwt_public_key: Annotated[t.OptionalPath, doc("PEM file with the public key that verifies tokens")] = None
    jwks_url: Annotated[t.OptionalURL, doc("URL of the public keys (JWKS) that verify tokens")] = None
    jwt_algorithms: Annotated[t.Algorithms, doc("Accepted signature algorithms", unset="all that fit the key")] = ()
    jwt_audience: Annotated[t.Texts, doc("Accepted values of the `aud` claim")] = ()
    jwt_issuer: Annotated[t.OptionalText, doc("Required value of the `iss` claim")] = None
    jwt_leeway: Annotated[t.Duration, doc("Tolerated clock difference when `exp` and `nbf` are checked")] = 0.0

    api_keys: Annotated[t.OptionalPath, doc("TOML file of API keys, which are accepted beside tokens")] = None
    auth: Annotated[
        t.AuthMode,
        doc(
            "Authentication: `token` (a token or an API key), or `off`, which serves the programs of this machine only"
        ),
    ] = "token"

    cors_origins: Annotated[t.Origins, doc("Web pages that may call the API: `*`, or exact origins")] = ("*",)
    max_body_bytes: Annotated[t.Size, doc("Maximum size of a request body")] = 2**20
    max_answer_bytes: Annotated[t.Size, doc("Maximum size of an answer")] = 16 * 2**20
    disconnect_grace: Annotated[
        t.DurationOrNever, doc("How long a run continues after its last client disconnects")
    ] = 30.0
    disconnect_grace_v1: Annotated[
        t.DurationOrNever, doc("The same for `/api/chat` and `/v1/…`, whose clients cancel by disconnecting")
    ] = 5.0
    retention: Annotated[t.Duration, doc("How long a finished run can be read")] = 900.0
    retention_bytes: Annotated[t.Size, doc("Maximum total size of finished runs")] = 256 * 2**20
    drain: Annotated[t.OptionalDuration, doc("How long a shutdown waits for runs", unset="the longest deadline")] = None

    locale: Annotated[
        t.OptionalLanguage,
        doc("Language of texts for requests that name none", unset="`zh` for the native API, `en` for the others"),
    ] = None

    log_level: Annotated[t.LogLevel, doc("Log level: `debug`, `info`, `warning` or `error`")] = "info"
    log_format: Annotated[t.LogFormat, doc("Log format: `text` or `json`")] = "text"

    openai_base_url: Annotated[t.OptionalURL, doc("Base URL of an OpenAI-compatible provider, including `/v1`")] = None
    openai_api_key: Annotated[t.OptionalText, doc("API key of the OpenAI-compatible provider", secret=True)] = None
    openai_model: Annotated[t.OptionalText, doc("Model to request from the OpenAI-compatible provider")] = None
    openai_stream: Annotated[t.Switch, doc("Whether to request streams from the OpenAI-compatible provider")] = False
    openai_api: Annotated[
        t.OpenAIApi, doc("API of the OpenAI-compatible provider: `chat` (completions) or `responses`")
    ] = "chat"
    anthropic_base_url: Annotated[t.OptionalURL, doc("Base URL of an Anthropic provider, with or without `/v1`")] = None
    anthropic_api_key: Annotated[t.OptionalText, doc("API key of the Anthropic provider", secret=True)] = None
    anthropic_model: Annotated[t.OptionalText, doc("Model to request from the Anthropic provider")] = None
    anthropic_max_tokens: Annotated[t.PositiveCount, doc("Maximum tokens of an answer if the client sets no limit")] = (
        4096
    )
    anthropic_stream: Annotated[t.Switch, doc("Whether to request streams from the Anthropic provider")] = False

    commit_window: Annotated[
        t.DurationOrOff, doc("Delay before non-streaming responses commit to 200 (keeps proxies alive afterwards)")
    ] = 25.0  # gateways allow 29 s (API Gateway) to 60 s (nginx, ALB, Cloud Run)

    heartbeat: Annotated[
        t.HeartbeatName,
        doc("Heartbeat of `/v1/chat/completions` until the answer: `comment`, `delta`, `status` or `off`"),
    ] = "comment"

    redis_url: Annotated[t.OptionalText, doc("Redis that shares runs between processes", secret=True)] = None
    broker_url: Annotated[
        t.OptionalText, doc("Celery's broker, if it is not the Redis of `redis_url`", secret=True)
    ] = None
    workers: Annotated[t.PositiveCount, doc("Number of server processes")] = 1
    lease: Annotated[t.PositiveDuration, doc("Heartbeat timeout after which a process is considered dead")] = 15.0
    max_connection_age: Annotated[t.DurationOrOff, doc("Age at which a connection moves to another process")] = None
    trusted_proxies: Annotated[t.Networks, doc("Proxies whose `X-Forwarded-*` headers are trusted")] = ()

    database_url: Annotated[
        t.OptionalDatabaseURL,
        doc(
            "Database of conversations and the request log; `sqlite:///` is a file in the state directory", secret=True
        ),
    ] = "sqlite:///"
    state_dir: Annotated[
        t.OptionalPath,
        doc("Directory of the generated secret and the SQLite file", unset="the platform's state directory"),
    ] = None
    log_bodies: Annotated[t.Switch, doc("Whether the request log stores questions and answers")] = True
    log_reasoning: Annotated[t.Switch, doc("Whether the request log stores reasoning")] = True
    history_reasoning: Annotated[
        t.HistoryReasoning,
        doc("Reasoning in the history of a conversation: `off`, `summary` (its first sentences) or `full`"),
    ] = "off"
    log_retention: Annotated[t.Duration, doc("How long the request log is kept")] = 30 * 86_400.0
    prices: Annotated[t.Text, doc("Price list of models: `bundled`, or a file")] = "bundled"

    cache: Annotated[t.DurationOrOff, doc("How long an answer serves the same question again, for each user")] = None
    cache_shared: Annotated[t.Switch, doc("Whether cached answers serve all users")] = False

    max_runs: Annotated[t.PositiveCount, doc("Maximum concurrent runs per process")] = 10_000
    max_runs_shared: Annotated[t.OptionalCount, doc("Maximum concurrent runs across all processes sharing a Redis")] = (
        None
    )
    max_runs_per_user: Annotated[t.PositiveCount, doc("Maximum concurrent runs per user")] = 100
    max_queue: Annotated[t.Count, doc("Maximum number of queued runs")] = 1000
    queue_timeout: Annotated[t.Duration, doc("How long a run may wait in the queue")] = 60.0
    rate_limit: Annotated[t.OptionalRate, doc("Rate limit per user and endpoint, such as `60/minute`")] = None

    # Tables of the settings file, which neither a flag nor a variable can hold.
    backends: tuple[BackendConfig, ...] = ()
    endpoints: tuple[EndpointConfig, ...] = ()
    status_messages: Mapping[str, tuple[str, ...]] = {}

    def __post_init__(self) -> None:
        messages = parse_status_messages(self.status_messages, "status_messages")
        msgspec.structs.force_setattr(self, "status_messages", messages)
        for setting in SETTINGS:
            value = setting.parse(getattr(self, setting.name), setting.name)
            msgspec.structs.force_setattr(self, setting.name, value)
        validate_backends(self.backends)
        keys = [name for name in ("jwt_secret", "jwt_public_key", "jwks_url") if getattr(self, name) is not None]
        if len(keys) > 1:
            raise SettingsError(f"{' and '.join(keys)} are set, but tokens are verified with only one of them")
        if self.auth == "off" and not t.is_loopback(self.host):
            raise SettingsError(
                f"auth is off, but host is {self.host}: without authentication a server may only listen on 127.0.0.1"
            )

    def __repr__(self) -> str:
        changed = [each for each in SETTINGS if getattr(self, each.name) != each.default]
        return f"Settings({', '.join(f'{each.name}={each.format(getattr(self, each.name))}' for each in changed)})"

    def for_backend(self, backend: BackendConfig) -> "Settings":
        """Return the settings of one of the backends."""
        return msgspec.structs.replace(self, backends=(), endpoints=(), **cast("Any", backend.settings))

    def endpoint(self, path: str) -> EndpointConfig:
        """Return the limits of an address."""
        return next((each for each in self.endpoints if each.path == path), EndpointConfig(path))

    @property
    def max_request_timeout(self) -> float:
        """Longest deadline that a request may ask for, in seconds."""
        return self.timeout if self.max_timeout is None else self.max_timeout

    @property
    def longest_timeout(self) -> float:
        """Longest deadline that a run can have, in seconds."""
        return max([self.timeout, self.max_request_timeout, *(each.timeout or 0.0 for each in self.endpoints)])

    @property
    def drain_time(self) -> float:
        """How long a shutdown waits for runs, in seconds."""
        return self.longest_timeout if self.drain is None else self.drain


def parse_value(value: object, annotation: Any, where: str, *, is_secret: bool = False) -> Any:
    """Return a text, or a value from TOML or from code, in a type of ``settings.types``.

    Raises:
        SettingsError: the value is not allowed; the message begins with its source, ``where``.
    """
    try:
        return t.convert(value, annotation)
    except ValueError as error:
        text = str(value)
        # A URL can contain a password, even in the wrong setting.
        is_hidden = is_secret or "@" in text or not text.isprintable()
        shown = "" if is_hidden else f', not "{text[:60]}{"…" if len(text) > 60 else ""}"'
        raise SettingsError(f"{where} must be {error}{shown}") from None


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
        """Return a value in the type of the setting; see ``parse_value``."""
        return parse_value(value, self.annotation, where, is_secret=self.secret)

    def format(self, value: object) -> str:
        """Return a value as text; of a secret, only whether it is set."""
        if self.secret and value not in (None, self.default):
            return "(set, not shown)"
        return t.format_value(value, self.annotation) or self.unset or "none"


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(each.name, each.default, each.type, meta.description, **meta.extra)
    for each in msgspec.structs.fields(Settings)
    if each.name not in TABLES and (meta := each.type.__metadata__[-1])
)
BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}

"""The table of settings: each one's name, type, default and meaning, once.

The flags of ``serve``, the environment's names, the keys of the TOML file and the table in the README all
come from here.

Backends under names of their own, and what clients call them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, cast, get_type_hints

from persona_stream.errors import SettingsError
from persona_stream.settings.types import (
    Algorithms,
    BackendName,
    Bytes,
    Deadline,
    Duration,
    DurationOrNever,
    DurationOrOff,
    Executor,
    Help,
    Host,
    Line,
    Lines,
    LogFormat,
    LogLevel,
    MaybeDatabase,
    MaybeDuration,
    MaybeLine,
    MaybePath,
    MaybeUrl,
    Networks,
    Number,
    OnOff,
    Origins,
    Port,
    Positive,
    PositiveOrOff,
    Rate,
    Setting,
    Threads,
)

DEFAULT = "default"
"""The name of the backend that the settings outside of any table make."""


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """Hold what a table ``[backends.NAME]`` says.

    Attributes:
        settings: those that differ from the ones outside of it, by name, and checked.
        models: the names by which clients ask for it.
        fallback: the backend that takes over where this one cannot answer.
    """

    name: str
    settings: Mapping[str, object] = field(repr=False)  # keys are among them
    models: tuple[str, ...] = ()
    fallback: str | None = None


def validate_backends(backends: Iterable[BackendConfig]) -> None:
    """See that they fit together.

    Raises:
        SettingsError: a model has two backends, or a fallback is none.
    """
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


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Settings:
    """Hold every setting, checked. ``Settings()`` has the defaults; ``Settings(port=0, timeout=2.0)`` changes some.

    Durations are seconds. ``None`` means never, off or unset.

    Raises:
        SettingsError: a value is wrong.
    """

    host: Annotated[Host, Help("where to listen")] = "127.0.0.1"
    port: Annotated[Port, Help("the port to listen on; 0 takes a free one")] = 5001
    backend: Annotated[
        BackendName, Help("what answers: `demo`, `openai`, `anthropic`, `module:function` or `module:object.method`")
    ] = "demo"
    executor: Annotated[Executor, Help("where the backend runs: `greenlet`, `thread`, `process` or `auto`")] = (
        "greenlet"
    )
    threads: Annotated[
        Threads,
        Help("how many threads there are, or processes; left at 64, those are two for each CPU, and at least 8"),
    ] = 64
    timeout: Annotated[Deadline, Help("the deadline of a run, from when it starts")] = 150.0
    profiles: Annotated[
        MaybePath, Help("a folder of personas", default_text="the package's own for `demo`, else none")
    ] = None
    demo_seconds: Annotated[Duration, Help("how long the demo takes for an answer")] = 8.0

    jwt_secret: Annotated[
        MaybeLine,
        Help("the secret that signs tokens, at least 32 bytes", secret=True, default_text="one is made and kept"),
    ] = None
    jwt_public_key: Annotated[MaybePath, Help("a PEM file with the public key that checks tokens")] = None
    jwks_url: Annotated[MaybeUrl, Help("where the public keys that check tokens are published")] = None
    jwt_algorithms: Annotated[
        Algorithms, Help("which signatures count, of those that fit the key", default_text="all that fit the key")
    ] = ()
    jwt_audience: Annotated[Lines, Help("a token's `aud` must be one of these")] = ()
    jwt_issuer: Annotated[MaybeLine, Help("a token's `iss` must be this")] = None
    jwt_leeway: Annotated[Duration, Help("how far clocks may differ when `exp` and `nbf` are checked")] = 0.0

    cors_origins: Annotated[Origins, Help("the web pages that may call: `*`, or exact origins")] = ("*",)
    max_body_bytes: Annotated[Bytes, Help("the largest body of a request")] = 2**20
    max_answer_bytes: Annotated[Bytes, Help("the largest answer of a backend")] = 16 * 2**20
    disconnect_grace: Annotated[DurationOrNever, Help("how long a run lives after its last reader left")] = 30.0
    disconnect_grace_v1: Annotated[
        DurationOrNever, Help("the same for `/api/chat` and `/v1/…`, whose clients say stop by leaving")
    ] = 5.0
    retention: Annotated[Duration, Help("how long a finished run can be read")] = 900.0
    retention_bytes: Annotated[Bytes, Help("how much of finished runs is kept")] = 256 * 2**20
    drain: Annotated[MaybeDuration, Help("how long SIGTERM waits for runs", default_text="the deadline")] = None

    log_level: Annotated[LogLevel, Help("`debug`, `info`, `warning` or `error`")] = "info"
    log_format: Annotated[LogFormat, Help("`text` or `json`")] = "text"

    openai_base_url: Annotated[MaybeUrl, Help("an OpenAI-compatible provider, up to and with `/v1`")] = None
    openai_api_key: Annotated[MaybeLine, Help("its key", secret=True)] = None
    openai_model: Annotated[MaybeLine, Help("the model to ask for")] = None
    openai_stream: Annotated[OnOff, Help("whether to take its answers as streams")] = False
    anthropic_base_url: Annotated[MaybeUrl, Help("an Anthropic provider, with or without `/v1`")] = None
    anthropic_api_key: Annotated[MaybeLine, Help("its key", secret=True)] = None
    anthropic_model: Annotated[MaybeLine, Help("the model to ask for")] = None
    anthropic_max_tokens: Annotated[
        Positive, Help("the longest answer, in tokens, where the client does not say it")
    ] = 4096
    anthropic_stream: Annotated[OnOff, Help("whether to take its answers as streams")] = False

    commit_window: Annotated[
        DurationOrOff, Help("how long `/api/chat` and `/v1/…` without a stream hold their status back")
    ] = None
    commit_window_stream: Annotated[DurationOrOff, Help("how long `/v1/…` with a stream holds its status back")] = 0.0
    heartbeat_override: Annotated[OnOff, Help("whether clients may choose a heartbeat")] = True

    redis_url: Annotated[MaybeLine, Help("a Redis for journals that every process can read", secret=True)] = None
    workers: Annotated[Positive, Help("how many processes serve")] = 1
    lease: Annotated[Deadline, Help("after how long a silent process counts as dead")] = 15.0
    max_connection_age: Annotated[DurationOrOff, Help("when a connection is handed over")] = None
    trusted_proxies: Annotated[Networks, Help("the addresses whose `X-Forwarded-*` count")] = ()

    database_url: Annotated[
        MaybeDatabase,
        Help(
            "where conversations and the log are kept: `sqlite:///` is a file in the state folder, `off` nowhere",
            secret=True,
        ),
    ] = "sqlite:///"
    state_dir: Annotated[
        MaybePath, Help("the folder of the made secret and of SQLite", default_text="the platform's state folder")
    ] = None
    log_bodies: Annotated[OnOff, Help("whether the request log keeps texts")] = True
    log_reasoning: Annotated[OnOff, Help("whether the request log keeps reasoning")] = True
    log_retention: Annotated[Duration, Help("how long the request log keeps them")] = 30 * 86_400.0
    prices: Annotated[Line, Help("what models cost: `bundled`, or a file")] = "bundled"

    max_runs: Annotated[Positive, Help("how many runs at a time")] = 10_000
    max_runs_shared: Annotated[
        PositiveOrOff, Help("how many over all processes that share a Redis; each has an equal share of them")
    ] = None
    max_runs_per_user: Annotated[Positive, Help("how many of them for one caller")] = 100
    max_queue: Annotated[Number, Help("how many runs may wait for a place")] = 1000
    queue_timeout: Annotated[Duration, Help("how long a run may wait for a place")] = 60.0
    rate_limit: Annotated[Rate, Help("how often each caller may ask at each address, like `60/minute`")] = None

    # Tables of the settings file, and no setting that a flag or a variable could hold.
    backends: tuple[BackendConfig, ...] = ()

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            # Frozen for everybody else: this is where a list becomes a tuple, and whole seconds become a float.
            object.__setattr__(self, setting.name, setting.take(getattr(self, setting.name), setting.name))
        keys = [name for name in ("jwt_secret", "jwt_public_key", "jwks_url") if getattr(self, name) is not None]
        validate_backends(self.backends)
        if len(keys) > 1:
            raise SettingsError(f"{' and '.join(keys)} are set, and only one of them can say who may come in")

    def __repr__(self) -> str:
        changed = [each for each in SETTINGS if getattr(self, each.name) != each.default]
        return f"Settings({', '.join(f'{each.name}={each.show(getattr(self, each.name))}' for each in changed)})"

    def for_backend(self, backend: BackendConfig) -> Settings:
        """Give the settings of one of the backends."""
        # What it says is checked, and of the right types: mypy cannot follow names to fields.
        return replace(self, backends=(), **cast("Any", backend.settings))

    @property
    def drain_time(self) -> float:
        """Give how long SIGTERM waits, in seconds."""
        return self.timeout if self.drain is None else self.drain


_TYPES = get_type_hints(Settings, include_extras=True)

SETTINGS: tuple[Setting, ...] = tuple(
    Setting(each.name, each.default, *_TYPES[each.name].__metadata__)
    for each in fields(Settings)
    if each.name != "backends"
)
BY_NAME: dict[str, Setting] = {setting.name: setting for setting in SETTINGS}

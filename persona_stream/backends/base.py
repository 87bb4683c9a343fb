"""The backend interface: a function that answers queries, and its capabilities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from msgspec import Struct

from persona_stream.core.content import AttachmentType
from persona_stream.core.query import Query

ProcessQuery = Callable[[Query], object]

Capability = Literal[
    "tools",
    "images",
    "files",
    "audio_input",
    "prefill",
    "response_format",
    "json_schema",
    "choices",
    "logprobs",
    "audio",
]
"""Optional features of a backend: calling tools, reading images, files and recordings, continuing an answer that is
given in part, following any response format, or following a JSON schema at least; and several choices, log
probabilities and speech, in the extras of an OpenAI-compatible provider."""

ATTACHMENT_CAPABILITIES: Mapping[AttachmentType, Capability] = {
    "image": "images",
    "file": "files",
    "audio": "audio_input",
}
"""The capability that an attachment of each type requires."""


class BackendSpec(Struct, frozen=True):
    """Identification of a backend by value: it can be sent to another process or machine, which creates the backend.

    Attributes:
        name: the backend's name in the settings, ``default`` for the top-level one.
        import_path: ``module:function``; ``None`` for a backend that only the settings can create: a bundled one, or
            one with a fallback.
    """

    name: str
    import_path: str | None


class BackendDescription(Struct, frozen=True):
    """Properties of a backend, as reported to other processes by one that has imported it.

    Attributes:
        capabilities: the optional features.
        is_async: whether the function runs on an event loop.
        is_cooperative: whether it waits only where gevent can switch, so that it may run in a greenlet of the server.
        title: the name that pages show.
        ideas: example questions that pages offer.
    """

    capabilities: frozenset[Capability] = frozenset()
    is_async: bool = False
    is_cooperative: bool = False
    title: str = ""
    ideas: tuple[str, ...] = ()


class WorkerDescription(Struct, frozen=True):
    """Announcement of a worker process on another machine.

    Attributes:
        host: its host name.
        pid: its process id.
        pool: how it runs queries, ``prefork`` or ``gevent``.
        slots: how many queries it runs concurrently.
        queues: the queues that it consumes.
        backends: its backends by name.
        seen_at: seconds since 1970 of its last heartbeat.
        running: the number of its runs.
    """

    host: str
    pid: int
    pool: str
    slots: int
    queues: tuple[str, ...] = ()
    backends: dict[str, BackendDescription] = {}
    seen_at: float = 0.0
    running: int = 0


@dataclass(frozen=True, slots=True)
class Backend:
    """Function that answers queries, with its name and capabilities.

    ``process_query`` takes a query and returns a string or an ``Answer``. It may block, is called for many queries
    concurrently, from greenlets or threads, and may call ``query.report`` meanwhile. It raises ``BackendError`` for an
    error whose text is meant for the client; the log alone shows other exceptions and wrong return types.

    A run that is cancelled raises ``GreenletExit``, which is no ``Exception``, in a blocking call. Let it propagate,
    and release resources in ``finally`` or ``with``.

    Attributes:
        name: the name in the log.
        process_query: the function.
        is_async: whether it returns an awaitable, which is awaited on an event loop.
        capabilities: the optional features. Queries that need others are rejected before they reach the backend.
        is_cooperative: whether the function waits only where gevent can switch; a bundled backend does.
        retry_after: returns for how many seconds the backend is unavailable; 0.0 if it is available.
        spec: the value that identifies it in other processes; ``None`` for a function that exists only in this one.
        title: the name that pages show; empty for ``name``.
        ideas: example questions that pages offer.
    """

    name: str
    process_query: ProcessQuery
    is_async: bool = False
    capabilities: frozenset[Capability] = frozenset()
    is_cooperative: bool = False
    retry_after: Callable[[], float] = float  # 0.0: never unavailable
    spec: BackendSpec | None = None
    title: str = ""
    ideas: tuple[str, ...] = ()

    @property
    def attachment_types(self) -> tuple[AttachmentType, ...]:
        """The types of attachments that the backend reads."""
        return tuple(type for type, needed in ATTACHMENT_CAPABILITIES.items() if needed in self.capabilities)

    def describe(self) -> BackendDescription:
        """Return the properties that other processes need to know."""
        return BackendDescription(self.capabilities, self.is_async, self.is_cooperative, self.title, self.ideas)

    def described(self, description: BackendDescription) -> "Backend":
        """Return a copy with the properties that another process has reported."""
        return replace(
            self,
            capabilities=description.capabilities,
            is_async=description.is_async,
            is_cooperative=description.is_cooperative,
            title=description.title,
            ideas=description.ideas,
        )

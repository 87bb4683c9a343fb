"""Descriptions of routes: values that stand beside the views and are read by the OpenAPI document.

A view is described with ``@Operation(...)``, which also names it in the document. Bodies are described by their
Structs, parameters by Python types, errors by an instance of the exception that causes them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct, structs

from persona_stream.errors import HTTPError
from persona_stream.protocols.base import ErrorInfo
from persona_stream.protocols.native.encoder import NATIVE

V = TypeVar("V", bound=Callable[..., Any])

_ATTRIBUTE = "openapi_operation"


class Tag(Struct, frozen=True):
    """Group of operations on the page of the API."""

    name: str
    description: str


class Parameter(Struct, frozen=True):
    """Parameter of a request, or header of a response.

    Attributes:
        type: Python type of the value, with its constraints as ``Meta``.
        choices: allowed values, if they are not part of the type.
        example: sample value. Leave it out for optional parameters: pages that send requests would send it.
    """

    location: Literal["path", "query", "header"]
    name: str
    description: str
    type: Any = str
    choices: Sequence[str] = ()
    default: Any = None
    required: bool = False
    example: Any = None

    @classmethod
    def path(cls, name: str, description: str, example: str) -> "Parameter":
        """Return the description of a variable in a path."""
        return cls("path", name, description, Annotated[str, Meta(min_length=1)], required=True, example=example)


class EventStreamSpec(Struct, frozen=True, kw_only=True):
    """Schema of the events of a stream.

    Attributes:
        name: name of the event's schema in the document.
        data: types of the JSON object in an event's data.
        discriminator: field that tells these types apart, if one does.
        has_id: whether an event carries an id.
        has_type: whether an event carries its type in the field ``event``; then it is the discriminator's value.
        end: data of the last event, if that is not JSON.
    """

    name: str
    description: str
    data: Sequence[type]
    discriminator: str | None = None
    has_id: bool = False
    has_type: bool = False
    end: str | None = None


RUN_EVENTS: dict[str, Sequence[EventStreamSpec]] = {}
"""Events in which a run can be read, by protocol. Change it with ``register_run_events`` only."""


def register_run_events(protocol: str, *streams: EventStreamSpec) -> None:
    """Register the events in which a protocol streams any run, for the description of resumed streams."""
    RUN_EVENTS[protocol] = streams


class Body(Struct, frozen=True, kw_only=True):
    """Body of a request or response in one media type.

    Attributes:
        schema: types of the body, any of which may occur; a plain ``dict`` or ``str`` has no schema of its own.
        events: events of the stream, in place of a schema; any of several kinds may occur.
        examples: sample bodies by name: values, Structs, or functions that return one of these.
        refine: completes the schema of the body with rules that its type cannot express.
    """

    schema: Sequence[type] = ()
    events: Sequence[EventStreamSpec] = ()
    media_type: str = "application/json"
    examples: Mapping[str, Any] = {}
    refine: Callable[[dict[str, Any]], None] | None = None

    @classmethod
    def json(cls, *kinds: type, **examples: Any) -> "Body":
        """Return the description of a JSON body of one of these types."""
        return cls(schema=kinds, examples=examples)

    @classmethod
    def stream(cls, *events: EventStreamSpec, **examples: Any) -> "Body":
        """Return the description of a stream of these events."""
        return cls(events=events, media_type="text/event-stream", examples=examples)


class ResponseSpec(Struct, frozen=True):
    """Response of an operation.

    Attributes:
        links: names of the links to operations that a client may call next.
    """

    description: str
    bodies: Sequence[Body] = ()
    headers: Sequence[Parameter] = ()
    links: Sequence[str] = ()

    @classmethod
    def json(cls, description: str, body: type | Struct) -> "ResponseSpec":
        """Return the description of a JSON response of one type, which may be given by an example."""
        return cls(description, [Body.json(body) if isinstance(body, type) else Body.json(type(body), response=body)])

    @classmethod
    def text(cls, description: str, *media_types: str) -> "ResponseSpec":
        """Return the description of a response that is text in one of these media types."""
        return cls(description, [Body(schema=(str,), media_type=media_type) for media_type in media_types])


class ErrorSpec(Struct, frozen=True):
    """Error that several operations answer with.

    Attributes:
        error: sample of the exception, with its status, code and headers.
        description: condition under which it occurs.
        name: name of the response in the document; by default the name of the exception's type.
    """

    error: HTTPError
    description: str
    name: str = ""


class Operation(Struct, frozen=True):
    """Description of a route, and the decorator that attaches it to the view.

    Attributes:
        response: response of success.
        status: its status.
        id: identifier from which client generators derive the name of a method; by default the view's name.
        security: names of the security schemes, any of which suffices; an empty name allows requests without a token.
        responses: further responses by status, except for ``errors``; once attached to a view, all of them.
        errors: errors that precede the first byte of the response.
        error_bodies: encoders of the error body; several if the request decides on the protocol.
    """

    summary: str
    response: ResponseSpec
    description: str = ""
    tags: Sequence[Tag] = ()
    id: str = ""
    status: int = 200
    security: Sequence[str] = ("bearer",)
    parameters: Sequence[Parameter] = ()
    request: Body | None = None
    responses: Mapping[int, ResponseSpec] = {}
    errors: Sequence[ErrorSpec] = ()
    error_bodies: Sequence[Callable[[ErrorInfo], Struct]] = (NATIVE.error,)

    def __call__(self, view: V) -> V:
        """Attach the description to a view."""
        first, *rest = view.__name__.split("_")
        name = self.id or first + "".join(word.capitalize() for word in rest)
        setattr(
            view, _ATTRIBUTE, structs.replace(self, id=name, responses={self.status: self.response, **self.responses})
        )
        return view


def operation_of(view: object) -> Operation | None:
    """Return the description of a view, or ``None`` if it has none."""
    found: Operation | None = getattr(view, _ATTRIBUTE, None)
    return found

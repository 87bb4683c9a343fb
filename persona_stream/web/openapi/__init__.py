"""OpenAPI document: the descriptions of operations, the parts that they share, and the document built from them."""

from persona_stream.web.openapi.spec import (
    Body,
    ErrorSpec,
    EventStreamSpec,
    Operation,
    Parameter,
    ResponseSpec,
    Tag,
    register_run_events,
)

__all__ = [
    "Body", "ErrorSpec", "EventStreamSpec", "Operation", "Parameter", "ResponseSpec", "Tag", "register_run_events",
]  # fmt: skip

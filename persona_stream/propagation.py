"""What goes along with the requests that are made for a run, so that others' traces join ours."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

carried: ContextVar[Mapping[str, str]] = ContextVar("carried", default=MappingProxyType({}))
"""Headers for every request that the current run makes: ``traceparent`` where traces are kept, else none."""

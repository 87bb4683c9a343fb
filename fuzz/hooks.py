"""What schemathesis loads into its own process: who asks, what exists, what the document cannot say, and a count.

``FUZZ_KNOWN`` names a file with what exists (``fuzz.request_targeting.Known``), ``FUZZ_COUNT`` one to write the
count into.
"""

from __future__ import annotations

import atexit
import json
import os
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation

from fuzz import request_targeting as aiming
from fuzz import stream_checks as wholeness

_KNOWN = aiming.Known(**json.loads(Path(os.environ["FUZZ_KNOWN"]).read_text("utf-8")))
# Errors of a server that are none: the backend has failed on purpose, or the server is full, or shutting down.
_MEANT = {502: ('"backend_error"', '"api_error"'), 503: ('"unavailable"', '"draining"', '"overloaded_error"')}
_counts: Counter[str] = Counter()


@schemathesis.hook
def flatmap_case(context: Any, case: Any) -> st.SearchStrategy[Any]:
    """Aim most requests at what exists, so that they come farther than to their first refusal."""
    # One draw, of many dice: each draw is a cost.
    wrong = case.meta is not None and case.meta.is_negative_at(ParameterLocation.BODY)
    dice = st.integers(0, 2**32 - 1).map(Random)
    return dice.map(lambda thrown: aiming.aim(case, _KNOWN, thrown, is_body_wrong=wrong))


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out an address that is so long that it is refused before anybody knows what it is for."""
    return aiming.is_short(case)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Say who asks."""
    aiming.introduce(case, _KNOWN)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count."""
    _counts[f"{case.operation.label} {response.status_code}"] += 1


@atexit.register
def _write() -> None:
    Path(os.environ["FUZZ_COUNT"]).write_text(json.dumps(_counts), "utf-8")


@schemathesis.check
def failures_are_meant(ctx: Any, response: Any, case: Any) -> None:
    """Where the server fails, that was its backend, on purpose."""
    if response.status_code >= 500:
        assert any(word in response.text for word in _MEANT.get(response.status_code, ())), response.text


@schemathesis.check
def streams_are_whole(ctx: Any, response: Any, case: Any) -> None:
    """A stream has one ending, its last event."""
    if response.status_code == 200 and response.headers["content-type"][0].startswith("text/event-stream"):
        wholeness.check(response.content)


@schemathesis.check
def nobody_comes_in(ctx: Any, response: Any, case: Any) -> None:
    """Without a token there is nothing to be had, where the document says that it takes one."""
    security = case.operation.definition.raw.get("security", [{"bearer": []}])
    is_described = case.method.upper() == case.operation.method.upper()  # anybody may ask which methods there are
    if is_described and "Authorization" not in case.headers and security and {} not in security:
        assert response.status_code >= 400, "it was let in without a token"

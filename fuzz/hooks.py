"""Hooks and checks that schemathesis loads into its process.

``FUZZ_KNOWN`` names the file with the existing ids (``fuzz.request_targeting.Known``), ``FUZZ_COUNT`` the file for the
counts of responses.
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

from fuzz import request_targeting, stream_checks

_KNOWN = request_targeting.Known(**json.loads(Path(os.environ["FUZZ_KNOWN"]).read_text("utf-8")))
# Expected server errors: the backend failed on purpose, or the server is at capacity or shutting down.
_EXPECTED_ERRORS = {502: ('"backend_error"', '"api_error"'), 503: ('"unavailable"', '"draining"', '"overloaded_error"')}
_counts: Counter[str] = Counter()


@schemathesis.hook
def flatmap_case(context: Any, case: Any) -> st.SearchStrategy[Any]:
    """Target most requests at existing resources, so that they pass the first validation."""
    # A single draw seeds a generator, because each draw is costly.
    is_invalid = case.meta is not None and case.meta.is_negative_at(ParameterLocation.BODY)
    rng = st.integers(0, 2**32 - 1).map(Random)
    return rng.map(lambda value: request_targeting.target(case, _KNOWN, value, is_body_invalid=is_invalid))


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Skip URLs that are too long for the server."""
    return request_targeting.is_short(case)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Set the credentials."""
    request_targeting.set_credentials(case, _KNOWN)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count the response."""
    _counts[f"{case.operation.label} {response.status_code}"] += 1


@atexit.register
def _write() -> None:
    Path(os.environ["FUZZ_COUNT"]).write_text(json.dumps(_counts), "utf-8")


@schemathesis.check
def server_errors_are_expected(ctx: Any, response: Any, case: Any) -> None:
    """Fail on server errors other than the expected ones."""
    if response.status_code >= 500:
        assert any(word in response.text for word in _EXPECTED_ERRORS.get(response.status_code, ())), response.text


@schemathesis.check
def streams_are_complete(ctx: Any, response: Any, case: Any) -> None:
    """Fail on streams without exactly one final event at the end."""
    if response.status_code == 200 and response.headers["content-type"][0].startswith("text/event-stream"):
        stream_checks.check(response.content)


@schemathesis.check
def protected_operations_need_a_token(ctx: Any, response: Any, case: Any) -> None:
    """Fail on success without a token where the document requires one."""
    security = case.operation.definition.raw.get("security", [{"bearer": []}])
    is_described = case.method.upper() == case.operation.method.upper()  # OPTIONS needs no token
    if is_described and "Authorization" not in case.headers and security and {} not in security:
        assert response.status_code >= 400, "the request succeeded without a token"

"""The request that is being answered."""

from __future__ import annotations

from contextvars import Context, copy_context

from flask import Request, request
from flask.ctx import AppContext, RequestContext


def current() -> Request:
    """Give it itself, and not Flask's stand-in for it, which looks it up again at each of the forty looks at it."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined] # documented, for this
    return found


def lasting_context() -> Context:
    """Give what was set around the request, for what goes on when that is over.

    Flask's own is left out: with it, a run would hold its whole request for as long as it lasts, a tenth of a waiting
    stream's memory.
    """
    lasting = Context()
    for variable, value in copy_context().items():
        if not isinstance(value, AppContext | RequestContext):
            lasting.run(variable.set, value)
    return lasting

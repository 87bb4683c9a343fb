"""The addresses of the dashboard, for people and for scripts of whoever runs the server.

Its JSON is made for its own page, and so described in words alone: see docs/DASHBOARD.md.
"""

from __future__ import annotations

from persona_stream.web.openapi.parameters import parameters
from persona_stream.web.openapi.refusals import refusals
from persona_stream.web.openapi.schemas import Node

_ADMIN: list[Node] = [{"bearer": []}, {"admin": []}]
_KINDS = ("text/html", "text/css", "text/javascript")
_KNOWN = ("Unauthorized", "NotAdmin", "Internal", "Unavailable")
_FILTERS = ("LogStatus", "LogFailed", "LogUser", "LogEndpoint", "LogModel", "LogConversation", "LogSlow", "LogSearch",
            "LogSince", "LogUntil", "LogLimit", "LogBefore")  # fmt: skip


def paths() -> Node:
    """Describe these addresses."""
    return {
        "/dashboard": {"get": _page("dashboard", "See what the server does", "The page.", "text/html")},
        "/dashboard/assets/{name}": {
            "parameters": parameters("AssetName"),
            "get": _page("dashboardAsset", "What the page is made of", "The file.", *_KINDS)
            | {"responses": {"200": _file("The file.", *_KINDS), **refusals("NothingHere")}},
        },
        "/dashboard/login": {"post": _login()},
        "/dashboard/logout": {
            "post": _operation("dashboardLogout", "Log out", {"200": _done(), **refusals("NotAdmin")})
            | {"security": [], "parameters": parameters("OwnPage")}
        },
        "/dashboard/api/session": {
            # Nobody is an answer too.
            "get": _asked("dashboardSession", "Who has logged in?", *_KNOWN[:3]) | {"security": [*_ADMIN, {}]}
        },
        "/dashboard/api/runs": {
            "get": _asked("dashboardRuns", "List runs of the log", *_KNOWN, "InvalidRequest")
            | {"parameters": parameters(*_FILTERS)}
        },
        "/dashboard/api/runs/{run_id}": {
            "parameters": parameters("RunId"),
            "get": _asked("dashboardRun", "All that is kept of a run", *_KNOWN, "NoRun"),
        },
        "/dashboard/api/runs/{run_id}/cancel": {
            "parameters": parameters("RunId"),
            "post": _asked("dashboardCancel", "End anybody's run", *_KNOWN, "NoRun", "Gone"),
        },
        "/dashboard/api/stats": {
            "get": _asked("dashboardStats", "A time in numbers", *_KNOWN, "InvalidRequest")
            | {"parameters": parameters("LogSince", "LogUntil")}
        },
        "/dashboard/api/choices": {"get": _asked("dashboardChoices", "What runs can be filtered by", *_KNOWN)},
        "/dashboard/api/users": {
            "delete": _asked("dashboardForget", "Delete all that is kept of a user", *_KNOWN, "InvalidRequest")
            | {"parameters": parameters("LogName")}
        },
    }


def _operation(name: str, summary: str, responses: Node) -> Node:
    return {"operationId": name, "tags": ["Dashboard"], "summary": summary, "responses": responses}


def _asked(name: str, summary: str, *refused: str) -> Node:
    return _operation(name, summary, {"200": _done(), **refusals(*refused)}) | {"security": _ADMIN}


def _login() -> Node:
    token: Node = {"type": "string", "description": "A token with the scope `admin`."}
    schema: Node = {"type": "object", "properties": {"token": token}, "required": ["token"]}
    refused = refusals(*_KNOWN, "InvalidRequest", "TooLarge", "UnsupportedMediaType")
    return _operation("dashboardLogin", "Log in", {"200": _done(), **refused}) | {
        "description": "Answers with a cookie that lasts as long as the token.",
        "security": [],
        "parameters": parameters("OwnPage"),
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
    }


def _done() -> Node:
    success = {"type": "boolean", "const": True, "description": "Always `true`."}
    schema: Node = {"type": "object", "properties": {"success": success}, "required": ["success"]}
    return {"description": "What was asked for.", "content": {"application/json": {"schema": schema}}}


def _page(name: str, summary: str, description: str, *kinds: str) -> Node:
    return _operation(name, summary, {"200": _file(description, *kinds)}) | {"security": []}


def _file(description: str, *kinds: str) -> Node:
    return {"description": description, "content": {kind: {"schema": {"type": "string"}} for kind in kinds}}

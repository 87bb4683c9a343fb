"""The addresses that are no runs: personas, what operators ask, and pages."""

from __future__ import annotations

from persona_stream.protocols.native.schemas import ErrorFrame
from persona_stream.web.openapi.parameters import header, parameters
from persona_stream.web.openapi.refusals import refusals
from persona_stream.web.openapi.schemas import Node, ref
from persona_stream.web.routes.health import Health
from persona_stream.web.routes.personas import ProfileList

_PROFILES = {
    "success": True,
    "profiles": [
        {
            "username": "VitalikButerin",
            "name": "Vitalik Buterin",
            "line": "Co-founder of Ethereum, who writes about blockchains, cryptography, mechanism design and society.",
            "languages": ["en", "zh"],
        }
    ],
}

_METRICS = """\
# HELP persona_stream_runs_in_flight Runs that have not ended.
# TYPE persona_stream_runs_in_flight gauge
persona_stream_runs_in_flight{backend="demo"} 3.0
"""


def paths() -> Node:
    """Describe these addresses."""
    return {
        "/api/profiles": {"get": _profiles()},
        "/healthz": {"get": _open("healthz", "Is the process alive?", {"200": _health("It is.", "alive")})},
        "/readyz": {
            "get": _open(
                "readyz",
                "Does it take new runs?",
                {
                    "200": _health("It does.", "ready"),
                    "503": _health(
                        "It is shutting down, or a store is out of reach: send new runs elsewhere.", "draining"
                    ),
                },
            )
        },
        "/metrics": {"get": _metrics()},
        "/openapi.json": {"get": _document()},
        "/docs": {"get": _page("docs", "Read this document as a page", "The page; it needs no other network.")},
        "/docs/scalar.js": {"get": _script()},
        "/": {"get": _page("testPage", "Try it in the browser", "The test page.")},
        "/streaming_test.html": {"get": _page("testPageByName", "The same, by its name", "The test page.")},
    }


def _profiles() -> Node:
    return {
        "operationId": "listProfiles",
        "tags": ["Personas"],
        "summary": "List the personas that answer here",
        "parameters": parameters("AcceptLanguage"),
        "responses": {
            "200": {
                "description": "The personas.",
                "content": {"application/json": {"schema": ref(ProfileList.__name__), "example": _PROFILES}},
            },
            **refusals("Unauthorized", "Forbidden", "Internal", "Unavailable"),
        },
    }


def _open(name: str, summary: str, responses: Node, tag: str = "Operations") -> Node:
    """Describe an operation that asks nobody for a token."""
    return {"operationId": name, "tags": [tag], "summary": summary, "security": [], "responses": responses}


def _health(description: str, word: str) -> Node:
    content = {"application/json": {"schema": ref(Health.__name__), "example": {"status": word}}}
    return {"description": description, "content": content}


def _metrics() -> Node:
    found: Node = {
        "description": "The numbers, in Prometheus's text format; of several workers, their sums.",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": _METRICS}},
    }
    return _open("metrics", "What is counted and measured", {"200": found, "404": _without("metrics")})


def _document() -> Node:
    found: Node = {
        "description": "The document.",
        "headers": {"ETag": header("ETag")},
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    known = {"description": "You have it already.", "headers": {"ETag": header("ETag")}}
    operation = _open("openapi", "Get this document", {"200": found, "304": known}, tag="Pages")
    return operation | {"parameters": parameters("IfNoneMatch")}


def _page(name: str, summary: str, description: str) -> Node:
    found = {"description": description, "content": {"text/html": {"schema": {"type": "string"}}}}
    return _open(name, summary, {"200": found}, tag="Pages")


def _script() -> Node:
    found = {"description": "The script.", "content": {"text/javascript": {"schema": {"type": "string"}}}}
    return _open("docsScript", "Get what draws that page", {"200": found, "404": _without("docs")}, tag="Pages")


def _without(extra: str) -> Node:
    return {
        "description": f"The extra `{extra}` is not installed.",
        "content": {"application/json": {"schema": ref(ErrorFrame.__name__)}},
    }

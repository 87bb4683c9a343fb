"""The page and what it is made of: files of the package, served as they are, and nothing from anywhere else."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from importlib import resources

from flask import Response, request
from msgspec import Struct

PAGE = "index.html"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


class File(Struct, frozen=True):
    """Hold a file, and what kind it is."""

    body: bytes
    kind: str


def files() -> Mapping[str, File]:
    """Read them all: a hundred kilobytes."""
    folder = resources.files("persona_stream").joinpath("pages/dashboard")
    return {each.name: File(each.read_bytes(), _kind(each.name)) for each in folder.iterdir() if each.is_file()}


def served(file: File) -> Response:
    """Answer with a file; a browser that has it keeps its copy, and asks each time whether it still may."""
    response = Response(file.body, content_type=file.kind)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.add_etag()
    response.make_conditional(request)
    return response


def _kind(name: str) -> str:
    # Not what this machine's tables say of scripts: some know them as text/plain, and no browser runs that.
    known = {".js": "text/javascript", ".css": "text/css"}
    suffix = name[name.rfind(".") :]
    return f"{known.get(suffix) or mimetypes.guess_type(name)[0]}; charset=utf-8"

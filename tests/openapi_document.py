"""OpenAPI document of an application with all routes of the package."""

from __future__ import annotations

from typing import Any

from flask import Flask

from persona_stream.web.openapi.document import build_document
from tests.routes import every_blueprint


def full_document() -> dict[str, Any]:
    """Return the document of all routes."""
    app = Flask("openapi", static_folder=None)
    for blueprint in every_blueprint():
        app.register_blueprint(blueprint)
    return build_document(app)

"""Fixture: an application with every route and no services."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.routes import every_blueprint


@pytest.fixture
def whole() -> Flask:
    app = Flask("map", static_folder=None)
    for blueprint in every_blueprint():
        app.register_blueprint(blueprint)
    return app

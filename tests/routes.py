"""All routes of the package, collected without services behind them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import SimpleNamespace

from flask import Blueprint, Flask

from persona_stream.web import routes


def every_blueprint() -> Iterator[Blueprint]:
    """Yield the blueprints of the package."""
    services = SimpleNamespace()
    for info in pkgutil.iter_modules(routes.__path__, f"{routes.__name__}."):
        module = importlib.import_module(info.name)
        if make := getattr(module, "blueprint", None):
            parameters = inspect.signature(make).parameters.values()
            yield make(services) if any(each.default is each.empty for each in parameters) else make()


def every_route() -> set[tuple[str, str]]:
    """Return the method and URL pattern of each route of the package."""
    app = Flask("routes", static_folder=None)
    for blueprint in every_blueprint():
        app.register_blueprint(blueprint)
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

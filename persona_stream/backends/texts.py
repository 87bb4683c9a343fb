"""Texts of the bundled backends in both languages, from ``texts.toml``."""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from persona_stream.core.query import Locale

Table = Mapping[str, Mapping[Locale, str]]
"""Texts by key and language."""

_TABLES = tomllib.loads(resources.files(__package__).joinpath("texts.toml").read_text("utf-8"))
DEMO: Table = _TABLES["demo"]
DEMO_STEPS: Sequence[Mapping[str, Any]] = _TABLES["demo_steps"]
PROVIDER_STATUS: Table = _TABLES["provider_status"]
PROVIDER_ERRORS: Table = _TABLES["provider_errors"]

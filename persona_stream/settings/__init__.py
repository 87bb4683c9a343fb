"""Everything that can be configured: the table, the frozen object, and how it is loaded."""

from __future__ import annotations

from persona_stream.settings.loader import Resolved, load_settings, resolve
from persona_stream.settings.schema import SETTINGS, Settings
from persona_stream.settings.types import Setting

__all__ = ["SETTINGS", "Resolved", "Setting", "Settings", "load_settings", "resolve"]

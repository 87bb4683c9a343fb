"""Everything that can be configured: the table, the frozen object, and how it is loaded."""

from __future__ import annotations

from persona_stream.settings.loader import Given, gather, load
from persona_stream.settings.schema import SETTINGS, Settings
from persona_stream.settings.types import Setting

__all__ = ["SETTINGS", "Given", "Setting", "Settings", "gather", "load"]

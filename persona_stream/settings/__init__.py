"""Everything that can be configured: the table, the frozen object, and how it is loaded."""

from __future__ import annotations

from persona_stream.settings.loading import Given, gather, load
from persona_stream.settings.setting import Setting
from persona_stream.settings.table import SETTINGS, Settings

__all__ = ["SETTINGS", "Given", "Setting", "Settings", "gather", "load"]

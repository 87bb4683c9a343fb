"""Settings: schema, value types and loader."""

from persona_stream.settings.loader import Resolved, load_settings, resolve
from persona_stream.settings.schema import SETTINGS, Setting, Settings

__all__ = ["SETTINGS", "Resolved", "Setting", "Settings", "load_settings", "resolve"]

"""Settings: schema, value types and loader."""

from persona_stream.settings.loader import LoadedSettings, load_settings
from persona_stream.settings.schema import SETTINGS, Setting, Settings

__all__ = ["SETTINGS", "LoadedSettings", "Setting", "Settings", "load_settings"]

"""Turn any blocking function into a live, resumable stream with real progress.

from persona_stream import create_app

def ask(message: str) -> str:
    ...                               # may block for minutes

app = create_app(process_query=ask)
"""

import sys
from typing import TYPE_CHECKING, Any

from persona_stream.core.content import Attachment, Image, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Answer, Principal, Query, Turn, Usage
from persona_stream.errors import BackendError, BackendUnavailable, InputUnavailable
from persona_stream.personas.persona import Persona

if TYPE_CHECKING:
    from persona_stream.app import PersonaStream, create_app

__all__ = [
    "Answer",
    "Attachment",
    "BackendError",
    "BackendUnavailable",
    "Image",
    "InputUnavailable",
    "Persona",
    "PersonaStream",
    "Principal",
    "Query",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "Turn",
    "Usage",
    "create_app",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded lazily: the application imports ssl and socket, which gevent must have patched before.
    if name not in ("PersonaStream", "create_app"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    worker = sys.modules.get("persona_stream.executors.worker.main")
    if worker is not None and worker.is_worker:
        return worker.InertPersonaStream if name == "PersonaStream" else worker.create_inert_app
    from persona_stream import app

    return getattr(app, name)

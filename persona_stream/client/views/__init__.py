"""Those who show what happens: one file each. Several look on at once, and each takes what is its own.

They are shown every update in a fixed order: first those that may have to clear or to end their line, then the one
that writes the answer, then the one that says goodbye.
"""

from __future__ import annotations

from typing import Protocol

from persona_stream.client.updates import Update


class View(Protocol):
    """Show updates on a screen.

    ``show`` is called for every update, a few times a second also when nothing comes. It raises ``OSError`` when
    its stream cannot be written.
    """

    def show(self, update: Update) -> None:
        """Take an update."""

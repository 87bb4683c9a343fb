"""Backends that ask the user while the run is in progress."""

from __future__ import annotations

from persona_stream import InputUnavailable, Query


def ask(query: Query) -> str:
    """Ask as the message says: a choice (``which``), a text (``name``), or with another way out (``careful``).

    A number after it is the timeout.
    """
    kind, _, rest = query.message.partition(" ")
    timeout = float(rest) if rest else None
    if kind == "which":
        query.send("Let me see. ")
        chosen = query.ask("Which file?", choices=["a.txt", "b.txt"], timeout=timeout)
        return "No file was chosen." if chosen is None else f"You chose {chosen}."
    if kind == "careful":
        try:
            query.ask("Which file?")
        except InputUnavailable as error:
            return f"Without an answer to: {error}"
    return f"Hello, {query.ask('What is your name?', timeout=timeout)}!"

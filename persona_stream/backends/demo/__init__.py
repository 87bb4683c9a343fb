"""The demo backend: a persona that answers out of its own profile, with no model, no key and no network.

It ranks the profile's notes for the question and weaves the best into a reply, slowly on purpose, so that there is
something to watch. The same query always gets the same answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from persona_stream.backends.demo.composing import Writer
from persona_stream.backends.demo.language import language, wished
from persona_stream.backends.demo.question import understand
from persona_stream.backends.demo.ranking import Ranking
from persona_stream.backends.demo.selection import select
from persona_stream.backends.demo.steps import Sleep, Steps
from persona_stream.backends.demo.wording import Wording, name_in
from persona_stream.core.query import Answer, Locale, Query
from persona_stream.errors import BackendError, ConfigurationError
from persona_stream.personas.persona import Persona

_NOBODY: Mapping[Locale, str] = {
    "zh": "这里没有名为“{username}”的角色。可以选择：{known}",
    "en": "There is no persona called “{username}” here. There are: {known}",
}


def demo(personas: Mapping[str, Persona], seconds: float = 8.0, sleep: Sleep = time.sleep) -> Callable[[Query], Answer]:
    """Make a ``process_query`` that answers for personas.

    Args:
        personas: by username. A query that brings its own persona is answered for that one.
        seconds: how long an answer takes; 0 is at once.
        sleep: what lets time pass, in seconds.

    Raises:
        ConfigurationError: ``seconds`` is negative, or no number.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigurationError(f"demo_seconds is how many seconds an answer takes, 0 or more, not {seconds}")

    rankings = {username: Ranking(persona.notes) for username, persona in personas.items()}

    def process_query(query: Query) -> Answer:
        persona = query.persona or personas.get(query.username)
        if persona is None:
            names = ", ".join(personas) or "-"
            raise BackendError(_NOBODY[query.locale].format(username=query.username, known=names))
        known = persona is personas.get(persona.username)
        ranking = rankings[persona.username] if known else Ranking(persona.notes)
        return _answer(query, persona, ranking, Steps(query, seconds, sleep))

    return process_query


def _answer(query: Query, persona: Persona, ranking: Ranking, steps: Steps) -> Answer:
    notes = persona.notes
    steps.opening(name_in(query.locale, persona.name), len(notes))
    question = understand(query, persona, ranking.knows)

    steps.ranking()
    selection = select(question, notes, ranking)
    if question.terms:
        steps.matched(len(selection.matches), len(notes))

    wording = Wording(persona, language(query.message, query.prompt, persona))
    writer = Writer(wording, question, selection, notes)
    outline = writer.outline(prompt_unread=query.prompt is not None and wished(query.prompt) is None)
    paragraphs = []
    for part, write in enumerate(outline, start=1):
        steps.composing(part, len(outline), sources_follow=bool(selection.told))
        paragraphs.append(write())

    if selection.told:
        steps.sources(len(selection.told))
        paragraphs.append(writer.sources())
    return Answer("\n\n".join(paragraphs), reasoning=writer.reasoning() or None)

"""Demo backend: answers for personas from their profiles, without a model, an API key or the network.

An answer consists of the one or two notes whose topics occur in the question, and links to their sources. The work is
simulated: the backend sleeps between the steps that it reports. The same query always gets the same answer.
"""

import re
import time
import unicodedata
import zlib
from collections.abc import Callable, Mapping, Sequence

from persona_stream.backends import texts
from persona_stream.backends.base import Backend
from persona_stream.core.i18n import translation
from persona_stream.core.query import Answer, Locale, Query
from persona_stream.errors import BackendError
from persona_stream.personas.persona import HAN, HAN_RUN, KnowledgeItem, Persona

# Matching blocks the event loop, so only the beginning of a long message is searched for topics.
MAX_SEARCHED_CHARS = 2_000
MAX_ITEMS = 2
MAX_SUGGESTIONS = 4

_WORDS = re.compile(rf"[{HAN}]+|[^\W{HAN}]+")
_LATIN_WORD = re.compile(r"[a-z]+", re.I)
_GREETING = re.compile(
    r"\s*(?:(?:hi|hello|hey|greetings|good (?:morning|afternoon|evening))\b|[你您]好|嗨|哈[喽啰]|早上好|晚上好)", re.I
)
_REQUESTED_LANGUAGES: Mapping[Locale, re.Pattern[str]] = {
    "en": re.compile(r"\bin english\b|[用以说讲]英[文语]", re.I),
    "zh": re.compile(r"\bin chinese\b|[用以说讲](?:中文|汉语)", re.I),
}


def demo_backend(
    personas: Mapping[str, Persona], seconds: float = 8.0, sleep: Callable[[float], object] = time.sleep
) -> Backend:
    """Create the demo backend.

    Args:
        personas: the personas by username. A query that carries its own persona is answered for that one.
        seconds: duration of an answer; 0 answers immediately.
        sleep: blocks for a number of seconds.
    """

    def process_query(query: Query) -> Answer:
        persona = query.persona or personas.get(query.username)
        if persona is None:
            known = ", ".join(personas) or "-"
            raise BackendError(
                translation(texts.DEMO["unknown_persona"], query.locale).format(username=query.username, known=known)
            )
        items = find_items(persona.notes, query)
        name = _name_in_sentence(persona, query.locale)
        starts = [step["start"] for step in texts.DEMO_STEPS]
        for step, start, end in zip(texts.DEMO_STEPS, starts, (*starts[1:], 1.0), strict=True):
            query.report(
                translation(step, query.locale).format(name=name, total=len(persona.notes), found=len(items)), start
            )
            sleep(seconds * (end - start))
        return compose_answer(query, persona, items)

    return Backend("demo", process_query)


def find_items(notes: Sequence[KnowledgeItem], query: Query) -> Sequence[KnowledgeItem]:
    """Return the notes that answer a query, best first.

    A message without any known topic ("Tell me more.") continues the question before it, with other notes.
    """
    if items := _matching(notes, query.message):
        return items
    answered = "\n".join(turn.content for turn in query.history if turn.role == "assistant")
    unused = [item for item in notes if not any(text in answered for text in item.text.values())]
    earlier = [turn.content for turn in query.history if turn.role == "user"]
    return _matching(unused, earlier[-1]) if earlier else ()


def _matching(notes: Sequence[KnowledgeItem], question: str) -> Sequence[KnowledgeItem]:
    words = _normalize(question)
    scores = {number: _score(item, words) for number, item in enumerate(notes)}
    best = sorted(scores, key=lambda number: -scores[number])[:MAX_ITEMS]
    return [notes[number] for number in best if scores[number] * 2 > scores[best[0]]]


def _score(item: KnowledgeItem, words: str) -> int:
    """Return the total length of the topics that occur in a question, so that specific topics count more."""
    score = 0
    for topic in map(_normalize, item.topics):
        if topic.strip() in words if HAN_RUN.search(topic) else topic in words or f"{topic.rstrip()}s " in words:
            score += len(topic.strip())
    return score


def _normalize(text: str) -> str:
    """Return the words of a text in lower case, between spaces; neighbouring Chinese characters are one word."""
    folded = unicodedata.normalize("NFKC", text[:MAX_SEARCHED_CHARS]).casefold()
    return f" {' '.join(_WORDS.findall(folded))} "


def compose_answer(query: Query, persona: Persona, items: Sequence[KnowledgeItem]) -> Answer:
    """Write the answer in Markdown, in the language that the query asks for or is written in."""
    language = _language(query, persona)

    def text(key: str, **values: str) -> str:
        return texts.DEMO[key][language].format(**values)

    if items:
        titles = [_title(item, language) for item in items]
        links = " · ".join(f"[{title}]({item.source})" for title, item in zip(titles, items, strict=True))
        paragraphs = [item.text.get(language) or item.text[persona.languages[0]] for item in items]
        reasoning = text("reasoning", titles="；".join(titles) if language == "zh" else "; ".join(titles))
        return Answer("\n\n".join([*paragraphs, text("sources") + links]), reasoning=reasoning)
    if not persona.notes:
        return Answer(text("empty_profile"))
    name = _name_in_sentence(persona, language)
    opening = text("greeting" if _GREETING.match(query.message) else "no_match", name=name)
    # Other questions get other suggestions.
    first = zlib.crc32(query.message.encode("utf-8", "surrogatepass")) % len(persona.notes)
    suggestions = (*persona.notes[first:], *persona.notes[:first])[:MAX_SUGGESTIONS]
    return Answer("\n".join([opening, "", *(f"- {_title(item, language)}" for item in suggestions)]))


def _language(query: Query, persona: Persona) -> Locale:
    message = query.message[:MAX_SEARCHED_CHARS]
    # One Chinese character carries about as much as a word: names in Latin letters do not outweigh a Chinese sentence.
    han_characters = sum(map(len, HAN_RUN.findall(message)))
    language: Locale = "zh" if han_characters > len(_LATIN_WORD.findall(message)) else "en"
    for instruction in (message, query.prompt or ""):
        for locale, pattern in _REQUESTED_LANGUAGES.items():
            if pattern.search(instruction):
                language = locale
    other: Locale = "en" if language == "zh" else "zh"
    return other if language not in persona.languages and other in persona.languages else language


def _title(item: KnowledgeItem, language: Locale) -> str:
    """Return the first topic in a language, or the first one of all."""
    is_chinese = language == "zh"
    return next((topic for topic in item.topics if bool(HAN_RUN.search(topic)) == is_chinese), item.topics[0])


def _name_in_sentence(persona: Persona, language: Locale) -> str:
    """Return the name for a sentence: in a Chinese one, Latin letters stand between spaces."""
    name = persona.name_in(language)
    return f" {name} " if language == "zh" and not HAN_RUN.search(name) else name

"""Keys and answers of the cache."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from persona_stream.backends.callables import from_callable
from persona_stream.core.content import ToolCall
from persona_stream.core.facts import AnswerDelta, Answered, Failed, ReasoningDelta, Started
from persona_stream.core.query import Principal, Query, Turn
from persona_stream.errors import Unavailable
from persona_stream.journals.answers import MemoryAnswerStore
from persona_stream.runs.base import RunRequest
from persona_stream.runs.cache import AnswerCache, CachedAnswer, answer_of
from tests.fakes import RUN_ID, FakeClock, accepted, entries

QUERY = Query(username="x", message="Hi", principal=Principal("ann"), parameters={"temperature": 0, "stop": ["a"]})
REQUEST = RunRequest(query=QUERY, backend=from_callable(lambda message: message), style="smart", chunking="words")


def cache(clock: FakeClock | None = None, *, is_shared: bool = False) -> AnswerCache:
    return AnswerCache(MemoryAnswerStore(clock or FakeClock()), 60.0, is_shared=is_shared)


def key_of(*, is_shared: bool = False, **changes: object) -> str | None:
    """Return the key of the question with some changes."""
    return cache(is_shared=is_shared).key_of(structs.replace(REQUEST, query=replace(QUERY, **changes)))


def test_the_key_is_the_same_for_the_same_question() -> None:
    """In any order of the parameters, and for another conversation, style or deadline."""
    assert key_of() == key_of(parameters={"stop": ["a"], "temperature": 0})
    assert key_of() == key_of(conversation_id="another", timeout=3.0)
    assert key_of() == cache().key_of(structs.replace(REQUEST, style="basic", chunking="sentences", reasoning=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"message": "Ho"},
        {"username": "y"},
        {"prompt": "Be brief"},
        {"prompt_mode": "replace"},
        {"locale": "en"},
        {"parameters": {"temperature": 1}},
        {"principal": Principal("bob")},
        {"history": (Turn("system", "Be brief"),)},
    ],
)
def test_the_key_contains_everything_that_an_answer_depends_on(changes: dict[str, object]) -> None:
    """A shared cache leaves out the user alone."""
    assert key_of(**changes) != key_of()
    assert (key_of(is_shared=True, **changes) == key_of(is_shared=True)) == ("principal" in changes)


def test_a_question_of_a_conversation_has_no_key() -> None:
    """Its history may change, or is not loaded yet."""
    assert key_of(history=(Turn("user", "Hi"), Turn("assistant", "Hello"))) is None
    assert key_of(tool_turns=(Turn("assistant", ""),)) is None
    assert cache().key_of(structs.replace(REQUEST, continues_conversation=True)) is None
    assert cache().key_of(structs.replace(REQUEST, is_logged=False)) is None, "the client wants nothing stored"


@pytest.mark.parametrize(
    "ending",
    [
        Failed("timeout"),
        Answered("Hi", finish="length"),
        Answered("Hi", calls=(ToolCall("1", "f", "{}"),)),
    ],
)
def test_failures_truncated_answers_and_tool_calls_are_not_kept(ending: object) -> None:
    """They would be repeated, where another attempt may succeed."""
    assert answer_of(entries((0, accepted()), (0, Started()), (1, ending))) is None


def test_an_answer_is_kept_whole_until_it_expires() -> None:
    """Reasoning and streamed text included; a repeated answer does not renew itself."""
    clock = FakeClock(100.0)
    kept = cache(clock)
    streamed = (ReasoningDelta("Hm."), AnswerDelta("Hello, "), Answered("world."))
    journal = entries((0, accepted()), (0, Started()), *((1, fact) for fact in streamed))
    kept.finish("key", journal)
    expected = CachedAnswer("Hm.", Answered("Hello, world.", cached=True))
    assert kept.find("key") == expected
    clock.now = 159.0
    kept.finish("key", entries((0, accepted()), (1, expected.answered)))
    assert kept.find("key") == expected
    clock.now = 160.0
    assert kept.find("key") is None


def test_one_run_at_a_time_answers_a_question() -> None:
    """Until it ends, or its claim expires."""
    clock = FakeClock()
    claims = cache(clock)
    assert claims.claim("key", RUN_ID, 10.0) is None
    assert claims.claim("key", "another", 10.0) == RUN_ID
    claims.finish("key", entries((0, accepted()), (1, Failed("cancelled"))))
    assert claims.claim("key", "another", 10.0) is None
    clock.now = 10.0
    assert claims.claim("key", RUN_ID, 10.0) is None


def test_an_unavailable_store_is_an_empty_one() -> None:
    """Questions are answered by the backend."""

    class Broken:
        def __getattr__(self, name: str) -> object:
            def fail(*args: object) -> None:
                raise Unavailable("Redis is unavailable", 1)

            return fail

    broken = AnswerCache(Broken(), 60.0, is_shared=False)
    assert broken.find("key") is None
    assert broken.claim("key", RUN_ID, 1.0) is None
    broken.finish("key", entries((0, accepted()), (1, Answered("Hi"))))

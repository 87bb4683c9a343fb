"""Chunkers have names, and users add theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from persona_stream.chunking.registry import _chunkers, get_chunker, names, register, words


@pytest.fixture(autouse=True)
def _leave_no_names() -> Iterator[None]:
    before = dict(_chunkers)
    yield
    _chunkers.clear()
    _chunkers.update(before)


def test_three_ship() -> None:
    """There are three from the start, under the names of the wire."""
    assert names() == ("characters", "words", "sentences")
    assert get_chunker("words") is words


def test_own_chunker() -> None:
    """A user's chunker is found by its name like the others, and the law is kept for it."""
    register("lines", lambda text: text.split("\n") if "\n" not in text else text.splitlines(keepends=True))
    register("letters", list)
    assert names()[3:] == ("lines", "letters")
    assert get_chunker("lines")("a\nb\n\nc") == ["a\n", "b\n", "\n", "c"]
    assert get_chunker("letters")("né e\u0301") == ["n", "é", " ", "e\u0301"]


@pytest.mark.parametrize("name", ["", "Words", "two words", "1st", "-x", "x" * 65, "wörter", "a\n"])
def test_bad_name(name: str) -> None:
    """A name that could not be sent in a request is refused."""
    with pytest.raises(ValueError, match="cannot name a chunker"):
        register(name, list)


def test_taken_name() -> None:
    """A name is given once."""
    with pytest.raises(ValueError, match="there is a chunker 'words' already"):
        register("words", list)


def test_not_callable() -> None:
    """What cannot be called is refused when it is registered, not when the first answer comes."""
    with pytest.raises(TypeError, match="the chunker 'lines' is a str, which cannot be called"):
        register("lines", "lines")  # type: ignore[arg-type]  # that is the point


def test_unknown_name() -> None:
    """An unknown name is a KeyError that says which names there are."""
    with pytest.raises(KeyError) as caught:
        get_chunker("lines")
    assert str(caught.value) == "there is no chunker 'lines': choose one of characters, words, sentences"

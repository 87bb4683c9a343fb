"""Bundled chunkers of fixed size, whole words or whole sentences, and the finder of boundaries in a text.

Invariants:
    No call of a pattern sees more than a window of a long text, so that none holds the interpreter lock for longer
    than some milliseconds, and none needs more memory than the text.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

from persona_stream.chunking.graphemes import enclosing_boundaries, next_boundary
from persona_stream.chunking.masking import mask_code_and_urls, open_fence, running_text
from persona_stream.chunking.sentence_boundaries import next_sentence_end, search
from persona_stream.chunking.unicode import MASK, SPACED_WORD_END, unspaced_patterns

MAX_CHUNKS = 1000
CHUNK_SIZE = 20  # characters
# A chunk of a script without spaces may exceed its size by so many characters to end with its phrase or sentence.
PHRASE_TOLERANCE = 10
MAX_WORD_LENGTH = 200
WINDOW = 65_536  # characters that are searched at once
# Boundaries this close to the end of a window are not used: they may depend on the text behind it.
MARGIN = 4096

_VISIBLE = re.compile(r"\S")
_LONG_RUN = re.compile(rf"\S{{{MAX_WORD_LENGTH + 1}}}")
_LONG_WORD = re.compile(rf"(?<!\S)\S{{{MAX_WORD_LENGTH + 1}}}")

EndChooser = Callable[[int, int], int]
"""Returns the end of the chunk that starts at the first index; the second one is the smallest allowed end."""


def split_at(text: str, choose: EndChooser) -> list[str]:
    """Split the text at the chosen ends. Each chunk but the last has at least a ``MAX_CHUNKS``-th of the text."""
    length = len(text)
    min_size = -(-length // MAX_CHUNKS)
    chunks = []
    start = 0
    while start < length:
        end = choose(start, min(start + min_size, length))
        chunks.append(text[start:end])
        start = end
    return chunks


class BoundaryFinder:
    """Forward-only finder of the boundaries of one text; positions must not decrease from call to call.

    The last boundary is cached until it is passed, so that a text without boundaries is searched only once.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._masked = mask_code_and_urls(text)
        self._is_unspaced = not text.isascii() and unspaced_patterns()[0].search(self._masked) is not None
        self._has_clusters = not text.isascii() or "\r" in text
        self._word_pattern = unspaced_patterns()[1] if self._is_unspaced else SPACED_WORD_END
        self._running = running_text(self._masked, is_unspaced=self._is_unspaced)
        self._word_end = 0
        self._sentence_end = 0

    def sentence_end(self, at: int) -> int:
        """Return the first sentence end that is not before ``at``."""
        if self._sentence_end < at:
            self._sentence_end = next_sentence_end(self._running, at - 1)
        return self._sentence_end

    def last_word_end(self, limit: int) -> int:
        """Return the last word end in the ``MARGIN`` before ``limit``, or else a grapheme boundary."""
        ends = [match.end() for match in self._word_pattern.finditer(self._masked, limit - MARGIN, limit)]
        return ends[-1] if ends else enclosing_boundaries(self._text, limit - MARGIN, limit - MARGIN // 2)[1]

    def word_end(self, at: int) -> int:
        """Return the first word end that is not before ``at``.

        In a script without spaces each letter is a word, so the end of a phrase or sentence shortly after ``at`` is
        preferred.
        """
        if self._is_unspaced:
            letter, _, phrase = unspaced_patterns()
            limit = at + PHRASE_TOLERANCE
            if letter.search(self._masked, at - 1, limit):
                match = phrase.search(self._masked, at - 1, limit + 1)  # a boundary depends on the next character
                end = min(match.end(), self.sentence_end(at)) if match else self.sentence_end(at)
                if match or end <= limit:
                    return end
        if self._word_end < at:
            match = search(self._word_pattern, self._masked, at - 1)
            self._word_end = match.end() if match else len(self._masked)
        return self._word_end

    def min_visible_end(self, start: int, min_end: int) -> int:
        """Return the smallest end that makes the chunk at ``start`` not blank; the end of the text if all is blank."""
        if not self._masked[start].isspace():
            return min_end
        visible = _VISIBLE.search(self._masked, start)
        return max(min_end, visible.end()) if visible else len(self._masked)

    def adjust(self, start: int, min_end: int, end: int) -> int:
        """Return the end moved to a grapheme boundary, and before it into a word that is too long."""
        if end - min_end >= MAX_WORD_LENGTH:  # text before min_end cannot be split in any case
            end = self._end_in_long_word(start, min_end, end)
        return next_boundary(self._text, start, end) if self._has_clusters else end

    def _end_in_long_word(self, start: int, min_end: int, end: int) -> int:
        word = _LONG_RUN.match(self._masked, min_end - 1, end) or _LONG_WORD.search(self._masked, min_end - 1, end)
        if word is None:
            return end
        first = max(min_end, word.start() + 1)
        last = word.start() + MAX_WORD_LENGTH
        _, word_end, phrase_end = unspaced_patterns()
        for pattern in (phrase_end, word_end) if self._is_unspaced else ():
            ends = [match.end() for match in pattern.finditer(self._masked, first - 1, last + 1) if match.end() <= last]
            if ends:
                return ends[-1]
        # A URL that starts within this word goes into the next chunk as a whole, unless it is too long itself.
        unmasked = len(self._masked[first:last].rstrip(MASK))
        if unmasked and self._masked[last] == MASK:
            last = first + unmasked
        before, after = enclosing_boundaries(self._text, start, last)
        return before if before >= first else after


def characters(text: str, size: int = CHUNK_SIZE) -> list[str]:
    """Split the text into chunks of ``size`` characters, or larger ones if there were more than 1,000.

    A grapheme cluster at the end of a chunk goes into the next one; a cluster above the size is a chunk of its own.
    """
    size = max(size, -(-len(text) // MAX_CHUNKS))
    if text.isascii() and "\r" not in text:  # the only cluster in ASCII is CR LF
        return [text[start : start + size] for start in range(0, len(text), size)]

    def choose(start: int, min_end: int) -> int:
        before, after = enclosing_boundaries(text, start, start + size)
        return before if before >= min_end else after

    return split_at(text, choose)


def words(text: str, size: int = CHUNK_SIZE) -> list[str]:
    """Split the text into chunks of whole words that have ``size`` characters or end with their sentence.

    Sizes grow if there were more than 1,000 chunks. Whitespace belongs to the word before it.
    """
    return _split(text, partial(_end_of_words, size))


def sentences(text: str) -> list[str]:
    """Split the text into its sentences, or groups of them if there were more than 1,000.

    Whitespace belongs to the sentence before it; a line of a list, a poem or a program counts as a sentence. Sentences
    that nearly fill a ``WINDOW`` are split at words.
    """
    return _split(text, _end_of_sentence)


Chooser = Callable[[BoundaryFinder, int, int], int]
"""Returns the end of the chunk that starts at the first index; the second one is the smallest allowed end."""


def _end_of_words(size: int, finder: BoundaryFinder, start: int, min_end: int) -> int:
    min_end = finder.min_visible_end(start, min_end)
    end = finder.sentence_end(min_end)
    target = max(start + size, min_end)
    if end > target:
        end = min(end, finder.word_end(target))
    return finder.adjust(start, min_end, end)


def _end_of_sentence(finder: BoundaryFinder, start: int, min_end: int) -> int:
    min_end = finder.min_visible_end(start, min_end)
    return finder.adjust(start, min_end, finder.sentence_end(min_end))


def _split(text: str, choose: Chooser) -> list[str]:
    if len(text) <= WINDOW:
        return split_at(text, partial(choose, BoundaryFinder(text)))
    return list(_split_by_windows(text, choose))


def _split_by_windows(text: str, choose: Chooser) -> Iterator[str]:
    """Yield the chunks of a long text. Each window starts at a chunk, and after the opening line of its code block."""
    min_size = -(-len(text) // MAX_CHUNKS)
    size = max(WINDOW, 8 * min_size)
    start = 0
    fence = ""
    while start < len(text):
        window = fence + text[start : start + size]
        is_last = start + size >= len(text)
        limit = len(window) if is_last else len(window) - MARGIN
        finder = BoundaryFinder(window)
        at = len(fence)
        ends = [at]
        while at < limit and (at := choose(finder, at, min(at + min_size, len(window)))) <= limit:
            ends.append(at)
        if len(ends) == 1:
            ends.append(finder.last_word_end(limit))
        elif not is_last:
            ends = ends[: _paragraph_end(window, ends) + 1]
        for begin, end in pairwise(ends):
            yield window[begin:end]
        start += ends[-1] - len(fence)
        fence = open_fence(window, ends[-1])


def _paragraph_end(window: str, ends: list[int]) -> int:
    """Return the index of the last end in the second half that ends a paragraph, or of the last one.

    Code spans and quotations of a paragraph are recognised from its beginning.
    """
    for index in range(len(ends) - 1, 0, -1):
        if ends[index] < len(window) // 2:
            break
        if window.endswith("\n\n", 0, ends[index]):
            return index
    return len(ends) - 1

"""Cut answers for readers, so that neither a huge one nor a faulty chunker stops a stream."""

from __future__ import annotations

import logging

from persona_stream.chunking import registry as chunking
from persona_stream.chunking.base import Chunker
from persona_stream.concurrency import in_thread

logger = logging.getLogger("persona_stream.web")

_LARGE = 100_000  # characters: about what takes as long to cut as other streams should wait


def cutter(name: str) -> Chunker:
    """Give the chunker of this name, fit for use beside other streams.

    A large answer is cut in a native thread. Where a chunker that somebody registered fails, the log says so, and
    the answer is cut by characters: its reader has waited for it, and a stream has its ending whatever happens.
    """
    chunk = chunking.chunker(name)

    def cut(text: str) -> list[str]:
        try:
            return in_thread(chunk, text) if len(text) > _LARGE else chunk(text)
        except Exception:
            logger.exception("the chunker %r failed: this answer is cut by characters", name)
            return chunking.characters(text)

    return cut

"""Examples for the document, encoded by the server's own encoders from a small recorded run."""

from collections.abc import Callable, Sequence

from persona_stream.auth.tickets import RunURLSigner
from persona_stream.chunking.registry import get_chunker
from persona_stream.core.events import Wait
from persona_stream.core.facts import Accepted, Answered, Entry, Failed, FailureCode, Started
from persona_stream.core.projection import SMART, StreamProjection, StreamStyle, SubscriptionOptions
from persona_stream.core.query import Usage
from persona_stream.core.sse import encode_all
from persona_stream.protocols.base import EventEncoder

ACCEPTED_AT = 1_795_154_400.0  # 2026-11-20 06:00 UTC; the run id contains the same time
RUN_ID = "01m7vrmmr0hqz3v8dn4k7tw2xb"
EVENTS_URL = f"/api/runs/{RUN_ID}/events?ticket={RunURLSigner(lambda: 'example secret').sign(RUN_ID)}"
USERNAME = "VitalikButerin"
QUESTION = "What is Ethereum?"
MESSAGES = ({"role": "user", "content": QUESTION},)

RUNNING = (
    Entry(
        ACCEPTED_AT,
        Accepted(
            run_id=RUN_ID,
            owner="alice",
            username=USERNAME,
            conversation_id=f"c-{RUN_ID}",
            style="smart",
            chunking="words",
            locale="en",
            reasoning=False,
            deadline=150.0,
            resume_for=900.0,
        ),
    ),
    Entry(ACCEPTED_AT, Started()),
)
"""Journal of a run that has just started."""
COMPLETE = (
    *RUNNING,
    Entry(
        ACCEPTED_AT + 3.5,
        Answered(
            "Ethereum is a blockchain that runs programs. Anyone can deploy one, and no one can stop it.",
            Usage(input_tokens=412, output_tokens=19),
        ),
    ),
)
"""Journal of the same run after its answer."""


def failed_run(code: FailureCode, after: float, text: str | None = None) -> Sequence[Entry]:
    """Return the journal of the same run, failed after so many seconds."""
    return (*RUNNING, Entry(ACCEPTED_AT + after, Failed(code, text)))


def render_stream(create_encoder: Callable[[Sequence[Entry]], EventEncoder], style: StreamStyle = SMART) -> str:
    """Return the complete stream of the run as a client gets it from the encoder of the run's journal."""
    # The projection of the journal, with a clock that jumps to the time of the next event.
    sent = b""
    journal = [COMPLETE[0]]
    times = [ACCEPTED_AT]
    encoder = create_encoder(journal)
    options = SubscriptionOptions(style, get_chunker(style.chunking), "en")
    for step in StreamProjection(journal, options, lambda: times[-1]):
        if isinstance(step, Wait):
            upcoming = COMPLETE[len(journal) : len(journal) + 1]
            times.append(min([step.until, *(entry.at for entry in upcoming)]))
            journal.extend(entry for entry in upcoming if entry.at <= times[-1])
        else:
            sent += encode_all(encoder.encode(step))
    return sent.decode()

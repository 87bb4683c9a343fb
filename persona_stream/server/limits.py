"""How long a client may take for a request.

What matters is the sum: who sends a byte now and then is never silent, and would hold a connection for ever.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Say how long is waited for a client, in seconds.

    Attributes:
        idle: for another request, after an answer. More than a proxy keeps its connections (nginx: 60), or its request
            meets a connection that closes.
        head: for a whole head, from its first byte; on a new connection from the beginning.
        body: for a body, beside what it takes at the least rate.
        least_bytes_per_second: that a body must come at on average.
        rest: for what is left of a request that was answered without it.
        taking: for a client to take some of what is sent.
    """

    idle: float = 75.0
    head: float = 20.0
    body: float = 20.0
    least_bytes_per_second: float = 4096.0
    rest: float = 2.0
    taking: float = 30.0

"""Prints the constants of the load as JSON, for peers in other languages: ``python -m bench.peers.constants``."""

from __future__ import annotations

import json

from bench.peers.wire import MESSAGES
from bench.workload import ANSWER, CHUNK_SIZE, DEADLINE, INTERVAL, PATH, PAUSE, RESUME_FOR, SECRET

if __name__ == "__main__":
    constants = {
        "answer": ANSWER,
        "chunk_size": CHUNK_SIZE,
        "deadline": DEADLINE,
        "interval": INTERVAL,
        "messages": MESSAGES,
        "path": PATH,
        "pause": PAUSE,
        "resume_for": RESUME_FOR,
        "secret": SECRET,
    }
    print(json.dumps(constants))

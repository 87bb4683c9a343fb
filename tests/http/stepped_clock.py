"""The command line, with a system time that is off by the seconds in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path

from persona_stream.__main__ import main

_true_time = time.time


def _stepped_time() -> float:
    return _true_time() + float(Path(os.environ["CLOCK_OFFSET_FILE"]).read_text() or 0)


if __name__ == "__main__":
    time.time = _stepped_time
    main()

"""Memory, files and threads of a process, which its queries may use up: a leak fails every later query.

An exception alone does not show that: one large allocation fails without harm. So it only makes the process suspect,
and then a small use of each resource decides.
"""

import errno
import os
import threading

PROBE_BYTES = 8 * 2**20
MAX_CAUSES = 20


def is_exhaustion(error: BaseException) -> bool:
    """Return whether an exception, or one of its causes, says that a resource of this process is used up."""
    cause: BaseException | None = error
    for _ in range(MAX_CAUSES):
        match cause:
            case None:
                return False
            case MemoryError() | OSError(errno=errno.EMFILE):
                return True
            case RuntimeError() if "can't start new thread" in str(cause):
                return True
        cause = cause.__cause__ or cause.__context__
    return False


def find_exhausted() -> str | None:
    """Return which resource of this process is used up, for the log; ``None`` if there is some of each."""
    try:
        bytearray(PROBE_BYTES)
    except MemoryError:
        return "its memory is used up"
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return "it has too many open files" if error.errno == errno.EMFILE else None
    try:
        threading.Thread(target=int, daemon=True).start()
    except RuntimeError:
        return "it cannot start threads"
    return None

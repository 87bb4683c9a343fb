"""Starting runs: a place is given back on every path."""

from __future__ import annotations

import pytest

from persona_stream.backends.callables import adapt
from persona_stream.errors import Unavailable
from persona_stream.executors.greenlet import GreenletExecutor
from persona_stream.places import Places
from persona_stream.query import Query
from persona_stream.runs import Bounds, Order, Runs
from tests.fakes import FakeClock


class Broken:
    """Journals that cannot begin one."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def begin(self, accepted: object, claim: object) -> None:
        raise self._error


@pytest.mark.parametrize("error", [Unavailable("away"), ValueError("a defect"), SystemExit()])
def test_a_run_that_could_not_begin_holds_no_place(error: BaseException):
    """Whatever stopped it: a refusal, a defect, or the end of the process."""
    places = Places(1, 1)
    runs = Runs(
        backend=adapt(lambda message: message),
        executor=GreenletExecutor(),
        journals=Broken(error),
        places=places,
        bounds=Bounds(10.0, 10.0, 1000),
        clock=FakeClock(1_790_000_000.0),
    )
    with pytest.raises(type(error)):
        runs.start(Order(Query(username="x", message="Hi"), "smart", "words"))
    assert places.taken == 0

"""Observers of runs that write log lines, the request log and conversations."""

import logging
from collections.abc import Sequence

from persona_stream.core import facts, query, snapshot
from persona_stream.db.base import ExchangeCompleted, RunAccepted, RunDelivered, RunFinished, RunResponded, Store
from persona_stream.runs import base

logger = logging.getLogger("persona_stream.runs")


class LogObserver(base.RunObserver):
    """Observer that logs one line per run with the duration of its stages; at debug level, one per fact."""

    def on_fact(self, entries: Sequence[facts.Entry]) -> None:
        """Log the end of a run; at debug level, each fact."""
        fact = entries[-1].fact
        run_id = facts.run_terms(entries).run_id
        if facts.is_ending(fact):
            is_expected = isinstance(fact, facts.Answered) or (
                isinstance(fact, facts.Failed) and fact.code == "cancelled"
            )
            level = logging.INFO if is_expected else logging.WARNING
            if logger.isEnabledFor(level):
                logger.log(level, "%s", _summary(entries), extra={"run_id": run_id})
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s", type(fact).__name__.lower(), extra={"run_id": run_id})


def _summary(entries: Sequence[facts.Entry]) -> str:
    state = snapshot.take_snapshot(entries)
    run = state.run
    ended_at = entries[-1].at
    started_at = ended_at if state.started_at is None else state.started_at
    ending = state.ending
    source = " from the cache" if isinstance(ending, facts.Answered) and ending.cached else ""
    answered = f"answered{source}, {len(state.text)} characters"
    result = ending.code if isinstance(ending, facts.Failed) else answered
    stages = [f"waited {started_at - state.accepted_at:.1f} s", f"processed {ended_at - started_at:.1f} s"]
    if state.text_at is not None and state.text_at < ended_at:
        stages.insert(1, f"first text after {state.text_at - started_at:.1f} s")
    # Of backends that report their tokens: counting them here would delay the streams.
    if isinstance(ending, facts.Answered) and ending.usage is not None and not ending.cached and ended_at > started_at:
        stages.append(f"{ending.usage.output_tokens / (ended_at - started_at):.1f} tokens/s")
    # repr: these names are untrusted, and a newline in one must not forge a line of the log.
    return f"{result}: {run.owner!r} asked {run.username!r} ({run.style}), {', '.join(stages)}"


class RequestLogObserver(base.RunObserver):
    """Observer that writes runs to the request log."""

    reads_requests = True

    def __init__(self, store: Store) -> None:
        self._store = store
        self._run_requests: dict[str, base.RunRequest] = {}  # of runs whose first fact is not written yet
        self._upstream: dict[str, list[query.UpstreamCall]] = {}  # of runs that have not ended
        self._raw: dict[str, object] = {}

    def on_fact(self, entries: Sequence[facts.Entry]) -> None:
        """Enqueue the start and the end of a run."""
        fact = entries[-1].fact
        if isinstance(fact, facts.Accepted):
            if (run_request := self._run_requests.pop(fact.run_id, None)) is not None:
                self._store.enqueue(RunAccepted(entries[-1], run_request))
        elif facts.is_ending(fact) and facts.run_terms(entries).is_logged:
            run_id = facts.run_terms(entries).run_id
            upstream = tuple(self._upstream.pop(run_id, ()))
            self._store.enqueue(RunFinished(entries, upstream, self._raw.pop(run_id, None)))

    def on_notification(self, run_id: str, notification: base.Notification) -> None:
        """Collect provider calls, and enqueue responses and deliveries."""
        match notification:
            case base.RunStarted(request=run_request) if run_request.is_logged:
                self._run_requests[run_id] = run_request
                self._upstream[run_id] = []
            case base.UpstreamCalled(call=call) if run_id in self._upstream:
                self._upstream[run_id].append(call)
            case base.RawResponse(value=value) if run_id in self._upstream:
                self._raw[run_id] = value
            case base.ResponseSent():
                self._store.enqueue(RunResponded(run_id, notification))
            case base.SubscriptionClosed():
                self._store.enqueue(RunDelivered(run_id, notification))


class ConversationObserver(base.RunObserver):
    """Observer that writes an exchange to its conversation when the run has ended.

    Clients of the OpenAI and Anthropic protocols keep their conversations themselves and send them whole each time,
    except where they continue one of this server.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queries: dict[str, query.Query] = {}

    def on_fact(self, entries: Sequence[facts.Entry]) -> None:
        """Enqueue an exchange at the end of its run."""
        if facts.is_ending(entries[-1].fact):
            pending = self._queries.pop(facts.run_terms(entries).run_id, None)
            if pending is not None:
                self._store.enqueue(ExchangeCompleted(pending, entries))

    def on_notification(self, run_id: str, notification: base.Notification) -> None:
        """Store the query of a run that belongs to a conversation until its end."""
        if not isinstance(notification, base.RunStarted):
            return
        if notification.request.keeps_exchange:
            self._queries[run_id] = notification.request.query

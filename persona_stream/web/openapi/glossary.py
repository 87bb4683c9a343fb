"""What the fields of the wire mean: said once, by name, for every body that has them."""

from __future__ import annotations

from collections.abc import Mapping

# A body whose field means something of its own is named before the field.
FIELDS: Mapping[str, str] = {
    "success": "`false` in an event that says that there is no answer, or no more of it.",
    "data": "A part of the answer. Joined in order, the parts are the answer. Empty in events that carry none.",
    "ChatAnswer.data": "The whole answer.",
    "RunView.data": "The answer as far as it is there; `null` before its first character.",
    "status": "What the event says; the place to look first.",
    "RunView.status": "The state of the run. The last four are final.",
    "Health.status": "`alive`, `ready`, `draining` or `unavailable`.",
    "Health.missing": "The stores that are needed and out of reach; left out when there are none.",
    "message": "What is being done now, for a person to read.",
    "progress": "Percent done. It never falls while the backend is at work.",
    "BasicPieceFrame.progress": "How much of the answer has been sent, in percent; `null` while its end is not known.",
    "streaming_progress": "How much of the answer has been sent, in percent; `null` while its end is not known.",
    "run_id": "The name of the run. The run goes on when the connection breaks, and is found again by this name.",
    "conversation_id": "The conversation that the run belongs to.",
    "ChatRequest.conversation_id": "The conversation that this belongs to. A new one is made when left out.",
    "interval": "Seconds between two progress events: hear nothing for much longer, and the connection is broken.",
    "deadline": "Seconds that the run may take from its start; then it ends with `timeout`.",
    "resume_for": "Seconds after its end for which the run can still be read.",
    "events_url": "Where the run can be read. Its ticket opens this run alone, so that `EventSource` needs no header.",
    "elapsed_time": "Seconds since the run started; of an ended run, the seconds that it took.",
    "eta": "Seconds that are left, when the backend told enough to know.",
    "total_processing_time": "Seconds from the start of the run to the first character of the answer.",
    "total_time": "Seconds from the request to the end of the run.",
    "reasoning": "A part of what the model thought before it answered. It is no part of the answer.",
    "ChatRequest.reasoning": "Whether to send what the model thought, as events of its own.",
    "is_complete": "`true` in the last event of every stream, and in no other.",
    "total_length": "Characters of the whole answer; `null` while its end is not known.",
    "current_position": "Characters of the answer sent so far, with this piece.",
    "chunk_number": "The number of this piece; the first is 1.",
    "usage": "The tokens that the answer took, when known.",
    "error": "What is wrong, for a person to read.",
    "code": "What is wrong, for a program: `invalid_request`, `unauthorized`, `timeout`, `backend_error` …",
    "input_tokens": "Tokens of the question, with everything that was sent along with it.",
    "output_tokens": "Tokens of the answer.",
    "estimated": "`true` when we counted, not the provider.",
    "username": "Whose persona answers.",
    "Profile.username": "The name to put into requests.",
    "prompt": "An additional prompt.",
    "prompt_mode": "Whether `prompt` is added to the persona's own prompt (the default), or used instead of it.",
    "chunking": "Where the answer is cut; the endpoint's own way when left out.",
    "locale": "The language of status texts; when left out, the one of `Accept-Language`, else `zh`.",
    "created_at": "When the request was taken in: ISO 8601, in UTC.",
    "started_at": "When the backend began: ISO 8601, in UTC.",
    "finished_at": "When the run ended: ISO 8601, in UTC.",
    "runs": "The caller's own runs, newest first.",
    "next": "What to send as `before` for the next page; `null` on the last one.",
    "profiles": "The personas; none where any username goes through.",
    "name": "The name that people use.",
    "line": "Who this is, in one line, in the language of the caller.",
    "languages": "The languages that it speaks best, best first.",
}


def meaning(schema: str, field: str) -> str:
    """Say what a field of this schema means.

    Raises:
        KeyError: nobody has written it down yet.
    """
    return FIELDS.get(f"{schema}.{field}") or FIELDS[field]

"""Earlier responses that a request of the Responses API refers to, as the beginning of its conversation.

Their journals hold input and output whole, with calls and images. Of a response whose retention period has ended, the
stored conversation has the text.
"""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

import msgspec
from msgspec import Struct

from persona_stream.core import facts
from persona_stream.core.query import Turn
from persona_stream.errors import Gone, InvalidRequest, NotFound
from persona_stream.journals.base import Journal
from persona_stream.protocols.openai_responses import output
from persona_stream.web.services import Services

_PREVIOUS = "previous_response_id"
# Imported on use: it needs SQLAlchemy, which a server without a database may lack.
_queries = partial(import_module, "persona_stream.db.queries")


class History(Struct, frozen=True):
    """Conversation before a request.

    Attributes:
        conversation_id: conversation to continue, or ``None`` for a new one.
        turns: turns of the stored conversation.
        items: items that follow them.
    """

    conversation_id: str | None = None
    turns: tuple[Turn, ...] = ()
    items: tuple[dict[str, Any], ...] = ()


def load_history(services: Services, owner: str, previous_response_id: str) -> History:
    """Return the conversation up to a response and including it.

    Raises:
        NotFound: The owner has no such response, or it was not stored.
        InvalidRequest: The response is in progress.
        Unavailable: A store is unavailable.
    """
    runs: list[tuple[dict[str, Any], ...]] = []
    conversation_id: str | None = None
    response_id: str | None = previous_response_id
    turns: tuple[Turn, ...] = ()
    while response_id is not None:
        run_id = output.parse_response_id(response_id)
        journal = _find(services, owner, run_id)
        if journal is None or not facts.run_terms(journal.entries).request:
            conversation_id = conversation_id or _find_conversation(services, owner, run_id, journal)
            turns = _load_turns(services, owner, conversation_id, run_id)
            break
        request = output.stored_request(journal.entries)
        if not output.is_stored(request):
            raise _not_found(f"the response {response_id!r} was created with store: false")
        if not facts.has_ended(journal.entries):
            raise InvalidRequest(
                f"{_PREVIOUS}: {response_id} is in progress; wait for its end, or cancel it", _PREVIOUS
            )
        conversation_id = conversation_id or facts.run_terms(journal.entries).conversation_id
        produced = msgspec.to_builtins(output.output_items(journal.entries))
        runs.append((*(request.input or ()), *produced))
        response_id = request.parameters.get(_PREVIOUS)
    return History(conversation_id, turns, tuple(item for items in reversed(runs) for item in items))


def resolve_references(services: Services, owner: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return input items with each ``item_reference`` replaced by the output item that it names.

    Raises:
        NotFound: The owner has no such item any more.
    """
    return [_resolve(services, owner, item) if _is_reference(item) else item for item in items]


def _is_reference(item: Mapping[str, Any]) -> bool:
    # OpenAI's SDKs may leave out the type of a reference.
    return item.get("type") == "item_reference" or ("type" not in item and "role" not in item and "id" in item)


def _resolve(services: Services, owner: str, item: Mapping[str, Any]) -> dict[str, Any]:
    item_id = str(item.get("id"))
    run_id = item_id.partition("_")[2].rpartition("_")[0]
    journal = _find(services, owner, run_id)
    for found in output.output_items(journal.entries) if journal is not None else ():
        if found.id == item_id:
            resolved: dict[str, Any] = msgspec.to_builtins(found)
            return resolved
    missing = NotFound(f"input: the item {item_id[:80]!r} is not stored, or not any more; send it whole")
    missing.field = "input"
    raise missing


def _find(services: Services, owner: str, run_id: str) -> Journal | None:
    try:
        return services.runs.find(run_id, owner)
    except (NotFound, Gone):
        return None


def _find_conversation(services: Services, owner: str, run_id: str, journal: Journal | None) -> str:
    if journal is not None:
        return facts.run_terms(journal.entries).conversation_id
    if services.store.has_database:
        services.store.flush()
        found: str | None = services.store.query(
            lambda connection: _queries().find_conversation_of_run(connection, owner, run_id)
        )
        if found is not None:
            return found
    raise _not_found(f"no response with the id {output.RESPONSE_PREFIX}{run_id[:80]} is stored")


def _load_turns(services: Services, owner: str, conversation_id: str, run_id: str) -> tuple[Turn, ...]:
    if not services.store.has_database:
        raise _not_found("an earlier response is not stored any more")
    services.store.flush()
    return tuple(
        services.store.query(
            lambda connection: _queries().load_turns(connection, owner, conversation_id, last_run_id=run_id)
        )
    )


def _not_found(reason: str) -> NotFound:
    error = NotFound(f"{_PREVIOUS}: {reason}; send the conversation as input")
    error.field = _PREVIOUS
    return error

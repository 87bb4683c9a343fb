"""Peer on Starlette with sse-starlette."""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.peers.wire import (
    Complete,
    Event,
    Verifier,
    encode,
    opening,
    processing,
    processing_complete,
    split_answer,
    streaming,
)
from bench.workload import ANSWER, INTERVAL, PATH, PAUSE


class Query(msgspec.Struct):
    """Request body of the endpoint."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    message: Annotated[str, msgspec.Meta(min_length=1, max_length=32_768)]
    prompt: Annotated[str, msgspec.Meta(max_length=32_768)] | None = None
    prompt_mode: Literal["append", "replace"] = "append"
    conversation_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}$")] | None = None
    chunking: Literal["characters"] = "characters"


verify = Verifier()
decoder = msgspec.json.Decoder(Query)


async def process_query(message: str) -> str:
    """Return the answer after the number of seconds in the message."""
    await asyncio.sleep(float(message))
    return ANSWER


def event(position: str, body: Event) -> ServerSentEvent:
    """Build an event."""
    return ServerSentEvent(encode(body), id=position, sep="\n")


async def run(run_id: str, query: Query) -> AsyncIterator[ServerSentEvent]:
    """Stream one run."""
    started = time.monotonic()
    answer = asyncio.create_task(process_query(query.message))
    try:
        yield event(f"{run_id}/1.0", opening(run_id, query.conversation_id))
        yield event(f"{run_id}/2.0", processing(0, 0.0))
        tick = 1
        while True:
            # Ticks have absolute times: a late one does not delay the next, and one that is too late is left out.
            await asyncio.wait((answer,), timeout=started + tick * INTERVAL - time.monotonic())
            elapsed = time.monotonic() - started
            if answer.done():
                break
            yield event(f"{run_id}/2.0", processing(tick, elapsed))
            tick = max(tick, int(elapsed / INTERVAL)) + 1

        text = answer.result()
        yield event(f"{run_id}/3.0", processing_complete(elapsed))
        begun = time.monotonic()
        sent = 0
        for number, chunk in enumerate(split_answer(text)):
            delay = begun + number * PAUSE - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            sent += len(chunk)
            yield event(f"{run_id}/3.{sent}", streaming(number + 1, chunk, sent, len(text)))
        yield event(f"{run_id}/4.0", Complete(round(time.monotonic() - started, 1)))
    finally:
        answer.cancel()


async def stream_chat_smart(request: Request) -> Response:
    """Verify the token, validate the body and stream a run."""
    if verify(request.headers.get("authorization")) is None:
        raise HTTPException(401, "unauthorized", {"WWW-Authenticate": "Bearer"})
    try:
        query = decoder.decode(await request.body())
    except (msgspec.MsgspecError, RecursionError) as wrong:
        raise HTTPException(400, str(wrong)) from wrong
    run_id = secrets.token_hex(16)
    return EventSourceResponse(
        run(run_id, query),
        headers={
            "Cache-Control": "no-cache, no-transform",
            "X-Run-Id": run_id,
            "Location": f"/api/runs/{run_id}/events",
        },
        sep="\n",
        # Progress is sent every two seconds, so a ping would only add a task to each stream.
        ping=0,
    )


async def healthz(request: Request) -> Response:
    """Return the health status."""
    return JSONResponse({"status": "ok"})


@asynccontextmanager
async def tuned(app: Starlette) -> AsyncIterator[None]:
    """Exclude long-lived objects from garbage collection, as persona_stream does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    yield


app = Starlette(
    routes=[Route(PATH, stream_chat_smart, methods=["POST"]), Route("/healthz", healthz)],
    lifespan=tuned,
)

"""Peer on FastAPI with its built-in server-sent events."""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

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


class Query(BaseModel):
    """Request body of the endpoint."""

    username: Annotated[str, Field(min_length=1, max_length=64)]
    message: Annotated[str, Field(min_length=1, max_length=32_768)]
    prompt: Annotated[str | None, Field(max_length=32_768)] = None
    prompt_mode: Literal["append", "replace"] = "append"
    conversation_id: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")] = None
    chunking: Literal["characters"] = "characters"


@asynccontextmanager
async def tuned(app: FastAPI) -> AsyncIterator[None]:
    """Exclude long-lived objects from garbage collection, as persona_stream does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    yield


app = FastAPI(lifespan=tuned, telemetry={"tracing": False, "metrics": False, "logs": False})
verify = Verifier()


async def caller(authorization: Annotated[str | None, Header()] = None) -> str:
    """Return the subject of a valid token."""
    subject = verify(authorization)
    if subject is None:
        raise HTTPException(401, "unauthorized", {"WWW-Authenticate": "Bearer"})
    return subject


async def new_run(response: Response) -> str:
    """Create a run id and set its headers, which are sent before the path operation runs."""
    run_id = secrets.token_hex(16)
    response.headers["X-Run-Id"] = run_id
    response.headers["Location"] = f"/api/runs/{run_id}/events"
    return run_id


async def process_query(message: str) -> str:
    """Return the answer after the number of seconds in the message."""
    await asyncio.sleep(float(message))
    return ANSWER


def event(position: str, body: Event) -> ServerSentEvent:
    """Build an event. ``raw_data`` bypasses the framework's encoder, which is many times slower."""
    return ServerSentEvent(raw_data=encode(body), id=position)


@app.post(PATH, response_class=EventSourceResponse)
async def stream_chat_smart(
    query: Query, subject: Annotated[str, Depends(caller)], run_id: Annotated[str, Depends(new_run)]
) -> AsyncIterable[ServerSentEvent]:
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


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Return the health status."""
    return {"status": "ok"}

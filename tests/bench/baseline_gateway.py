"""The idiomatic gateway: a FastAPI route, a pydantic body, one aiokafka send per event. The real one is measured by it.

Same server (uvicorn, uvloop, httptools), same acknowledgements (`acks=all`), same answer after the broker's. It checks
less than the real one does, which is in its favour.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, Field

TOPIC = "baseline-events"
KEY = "ak_live_baseline"


class Event(BaseModel):
    event_name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")
    properties: dict[str, Any] = {}
    timestamp: datetime | None = None
    user_id: str | None = Field(None, max_length=200)
    anonymous_id: str | None = Field(None, max_length=200)
    event_id: str = Field(default_factory=lambda: f"evt_{uuid4().hex}")
    context: dict[str, Any] | None = None


class Batch(BaseModel):
    events: list[Event] = Field(max_length=1000)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.producer = AIOKafkaProducer(bootstrap_servers=os.environ["ATTRIKIT_KAFKA_BOOTSTRAP"], acks="all")
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)


def authenticate(authorization: Annotated[str, Header()]) -> None:
    if authorization != f"Bearer {KEY}":
        raise HTTPException(401)


async def send(request: Request, event: Event) -> "asyncio.Future[Any]":
    key = (event.user_id or event.anonymous_id or event.event_id).encode()
    future: asyncio.Future[Any] = await request.app.state.producer.send(
        TOPIC, event.model_dump_json().encode(), key=key
    )
    return future


@app.post("/v1/events/track", status_code=201, dependencies=[Depends(authenticate)])
async def track(request: Request, event: Event) -> dict[str, Any]:
    await (await send(request, event))
    return {"success": True, "data": {"event_id": event.event_id, "received_at": datetime.now(UTC)}}


@app.post("/v1/events/batch", status_code=201, dependencies=[Depends(authenticate)])
async def batch(request: Request, body: Batch) -> dict[str, Any]:
    await asyncio.gather(*[await send(request, event) for event in body.events])
    results = [{"index": i, "event_id": e.event_id, "status": "accepted"} for i, e in enumerate(body.events)]
    return {"success": True, "data": {"accepted": len(results), "rejected": 0, "results": results}}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["ATTRIKIT_PORT"]), log_level="warning", access_log=False)

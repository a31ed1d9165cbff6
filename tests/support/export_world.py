"""Exports as a caller asks for them: a job made, waited for, its file fetched and read."""

import asyncio
import csv
import gzip
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import polars
from backports import zstd
from fastapi import FastAPI

READ = {"Authorization": "Bearer ak_test_alpha"}


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://query", headers=READ) as client:
            yield client


async def ended(client: httpx.AsyncClient, job_id: str, *states: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            job: dict[str, Any] = (await client.get(f"/v1/reports/export/{job_id}")).json()["data"]
            if job["state"] in (states or ("done", "failed", "cancelled", "expired")):
                return job
            await asyncio.sleep(0.02)


async def ask(client: httpx.AsyncClient, report: str, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/reports/export", json={"report": report, "format": "jsonl"} | more)
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()["data"]
    return job


async def fetch(client: httpx.AsyncClient, job: dict[str, Any]) -> bytes:
    """Without a key."""
    async with httpx.AsyncClient(transport=client._transport, base_url="http://query") as stranger:
        answer = await stranger.get(job["download_url"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == f'attachment; filename="{job["file_name"]}"'
    assert int(answer.headers["content-length"]) == len(answer.content) == job["progress"]["bytes_written"]
    return answer.content


def rows_of(content: bytes, file_format: str, compression: str) -> list[dict[str, Any]]:
    if file_format == "parquet":
        return polars.read_parquet(io.BytesIO(content)).to_dicts()
    plain = {"gzip": gzip.decompress, "zstd": zstd.decompress, "none": bytes}[compression](content)
    if file_format == "csv":
        return list(csv.DictReader(io.StringIO(plain.decode(), newline="")))
    return [json.loads(line, parse_float=Decimal) for line in plain.splitlines()]

"""The whole product as `attrikit up` starts it, met over HTTP only.

`product`  one for the run; many tests share it, so each uses persons and event ids of its own and times close to now
`api`      a client with the demo app's key
`eventually`  polls until something is there
`settled`  waits until everything accepted so far can be read in every table. They are filled one after another, so
           what one of them shows says nothing of the next
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
import pytest

from deploy.demo.product import Product
from pipeline.readmodel.progress import open_reader, wait_until_settled

T = TypeVar("T")
_PATIENCE_SECONDS = 60.0
METRICS_TOKEN = "a-token-for-the-metrics-of-this-run"
SETTINGS = {
    # Receivers of the tests listen here, and a delivery is given up soon.
    "ATTRIKIT_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1",
    "ATTRIKIT_WEBHOOK_RETRY_SECONDS": "1,1",
    "ATTRIKIT_METRICS_TOKEN": METRICS_TOKEN,
}


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    running = Product(tmp_path_factory.mktemp("product"), settings=SETTINGS)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def metrics_token() -> str:
    """The token that the running product shows its metrics for."""
    return METRICS_TOKEN


@pytest.fixture(scope="session")
def api(product: Product) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {product.key}"}
    with httpx.Client(base_url=product.base_url, headers=headers, timeout=30.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def eventually() -> Callable[..., T]:
    def wait(look: Callable[[], T | None], patience_seconds: float = _PATIENCE_SECONDS) -> T:
        """Return the result of `look` as soon as that is true; fails if that takes too long."""
        deadline = time.monotonic() + patience_seconds
        while not (found := look()):
            assert time.monotonic() < deadline, f"still {found!r} after {patience_seconds:.0f} s"
            time.sleep(0.1)
        return found

    return wait


@pytest.fixture(scope="session")
def settled(product: Product) -> Callable[[], None]:
    async def wait() -> None:
        async with open_reader(product.settings) as reader:
            await wait_until_settled(reader, _PATIENCE_SECONDS)

    def wait_aside() -> None:
        """In a thread of its own: a browser test has an event loop running in this one."""
        with ThreadPoolExecutor(1) as aside:
            aside.submit(lambda: asyncio.run(wait())).result()

    return wait_aside


@pytest.fixture(scope="session")
def data() -> Callable[[httpx.Response], Any]:
    def of(response: httpx.Response, status: int = 200) -> Any:
        """`data` of a success envelope."""
        assert response.status_code == status, response.text
        body = response.json()
        assert body["success"] is True
        return body["data"]

    return of

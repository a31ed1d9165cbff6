"""Addresses of the services on one machine, and a check that their ports are free."""

from typing import Any

import httpx

from deploy.local.ports import free_port, problem_with
from deploy.local.process import LaunchError
from pipeline.runtime.settings import Settings


def check_port(port: int, host: str) -> None:
    problem = problem_with(port, host)
    if problem:
        raise LaunchError(f"port {port} cannot be used: {problem}; choose another (PORT=)")


def base_url(settings: Settings) -> str:
    return listens_on(settings.host, settings.port)


def listens_on(host: str, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://{host}:{port}"


def console_of(settings: Settings) -> dict[str, Any]:
    """Return the console's settings: the port asked for, else the one after the API's, if it is free."""
    host, port = settings.console_host or settings.host, settings.console_port
    if port:
        check_port(port, host)
    else:
        after = settings.port + 1
        port = after if after < 65_536 and not problem_with(after, host) else free_port(host, avoid=[settings.port])
    url = settings.console_url or listens_on(host, port)
    return {
        "console_port": port,
        "console_url": url,
        "console_api_url": settings.console_api_url or base_url(settings),
    }


def answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.HTTPError:
        return False

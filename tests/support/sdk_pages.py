"""Pages of a site with the SDK on them, and what they have reported."""

from typing import Any

from sdk_server import SdkServer


def opened(
    server: SdkServer, page: Any, options: str = "", host: str = "shop.test", path: str = "/", **page_: Any
) -> Any:
    """The page with the SDK, started with these options of `init`."""
    server.pages[path.partition("?")[0]] = server.page(
        options + ",endpoint:'" + server.url("events.shop.test")[:-1] + "'", **page_
    )
    page.goto(server.url(host, path))
    return page


def names(server: SdkServer) -> list[str]:
    return [event["event_name"] for event in server.events]


def urls(server: SdkServer) -> list[str]:
    """Addresses of the views in the order in which they came."""
    return _addresses(server, server.named("page_view"))


def urls_by_time(server: SdkServer) -> list[str]:
    """The same in the order of their times: the reports of two pages may overtake each other."""
    return _addresses(server, sorted(server.named("page_view"), key=lambda event: event["timestamp"]))


def _addresses(server: SdkServer, views: list[Any]) -> list[str]:
    return [event["context"]["page"]["url"].partition(str(server.port))[2] for event in views]

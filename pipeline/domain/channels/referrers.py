"""The site or app a person came from, by the referrer. Pure.

A payment or sign-in page is a step of the session and says nothing; the site itself neither, nor an AMP cache of it.
Then known search engines, social sites, assistants and web mail; the other services of a search portal are mail, steps
of a session or plain sites; any other site is a referral.
"""

from typing import Final

from pipeline.domain.channels.addresses import app_of, host_of, is_same_site, publisher_of, site_labels, suffixes_of
from pipeline.domain.channels.app_tables import APPS
from pipeline.domain.channels.host_tables import (
    COUNTRY_HOSTS,
    HOSTS,
    MAIL_LABELS,
    PORTAL_REGISTRIES,
    PORTALS,
    SHARED_SUFFIXES,
    SITE_STEP_LABELS,
    STEP_LABELS,
    STEPS_OF_A_SESSION,
)
from pipeline.domain.channels.tables import Channel
from schemas.caches import cache_short_texts

MAX_HOST_CHARACTERS: Final = 200
Origin = tuple[Channel, str, str]
"""Channel, source, and the rule that decided."""


def origin_of(referrer: str, page_url: str) -> Origin | None:
    """None: the referrer says nothing about where the person came from."""
    app = app_of(referrer)[:MAX_HOST_CHARACTERS]
    if app:
        return _app_origin(app)
    host = host_of(referrer)[:MAX_HOST_CHARACTERS]
    return _host_origin(host, host_of(page_url)[:MAX_HOST_CHARACTERS]) if host else None


def _app_origin(package: str) -> Origin:
    labels = package.split(".")
    for count in range(len(labels), 0, -1):
        known = APPS.get(".".join(labels[:count]))
        if known:
            return (*known, "referrer:app")
    return Channel.REFERRAL, package, "referrer:app"


@cache_short_texts(16_384, 2 * MAX_HOST_CHARACTERS)
def _host_origin(referrer_host: str, page_host: str) -> Origin | None:
    host = publisher_of(referrer_host)
    if is_same_site(host, page_host) or any(suffix in STEPS_OF_A_SESSION for suffix in suffixes_of(host)):
        return None
    for suffix in suffixes_of(host):
        if suffix in HOSTS:
            is_step = host.removesuffix(suffix).partition(".")[0] in SITE_STEP_LABELS
            return None if is_step else (*HOSTS[suffix], "referrer:known_site")
    name, registry = _name_and_registry(host)
    if name in PORTALS and registry and registry in PORTAL_REGISTRIES.get(name, {registry}):
        return _portal_origin(host, name, registry)
    if name in COUNTRY_HOSTS and registry:
        return (*COUNTRY_HOSTS[name], "referrer:known_site")
    return Channel.REFERRAL, host.removeprefix("www."), "referrer:site"


def _portal_origin(host: str, name: str, registry: str) -> Origin | None:
    source, searching = PORTALS[name]
    labels = host.removesuffix(f"{name}.{registry}").rstrip(".").split(".")
    if labels == [""] or "search" in labels or all(label in searching for label in labels):
        return Channel.ORGANIC_SEARCH, source, "referrer:search_engine"
    if any(label in MAIL_LABELS for label in labels):
        return Channel.EMAIL, source, "referrer:web_mail"
    if any(label in STEP_LABELS for label in labels):
        return None
    return Channel.REFERRAL, host.removeprefix("www."), "referrer:portal"


def _name_and_registry(host: str) -> tuple[str, str]:
    """`www.google.com.hk` → `google`, `com.hk`. No registry where strangers share the last labels."""
    labels = host.split(".")
    count = site_labels(labels)
    registry = ".".join(labels[len(labels) - count + 1 :])
    return labels[-count], "" if registry in SHARED_SUFFIXES else registry

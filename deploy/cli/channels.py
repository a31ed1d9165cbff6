"""`attrikit channels`: an app's own part of the channel rules, and which rule decides about an arrival.

Every change is a new version of the app's attribution settings; what was computed before stays as it is.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import typer

from deploy.cli.apps import AppOption, control_plane
from schemas.control import AttributionSettings, ChannelRule, ChannelSettings

channels = typer.Typer(help="Channel rules: where people came from.", no_args_is_help=True)

_PATTERN = "Lower case; * stands for any text."


@channels.command("show")
def show(app_id: AppOption) -> None:
    """Show an app's own domains, its ignored referrers, and its rules in their order."""
    from pipeline.control.channel_rules import conditions_text

    with control_plane() as (store, _):
        app = store.app(app_id)
    settings = app.attribution.channels
    typer.echo(f"settings\tv{app.config_version}")
    typer.echo("own domains\t" + (",".join(settings.own_domains) or "none"))
    typer.echo("ignored referrers\t" + (",".join(settings.ignored_referrers) or "none"))
    for position, rule in enumerate(settings.rules, 1):
        typer.echo(f"rule {position}\t{rule.name}\t{conditions_text(rule)}\t→ {rule.channel}")


@channels.command("hosts")
def set_hosts(
    app_id: AppOption,
    own: Annotated[list[str] | None, typer.Option(help="A domain of the site itself; repeatable.")] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A referrer that says nothing; repeatable.")] = None,
    no_own: Annotated[bool, typer.Option("--no-own", help="No own domains.")] = False,
    no_ignored: Annotated[bool, typer.Option("--no-ignored", help="No ignored referrers.")] = False,
) -> None:
    """Set own domains and ignored referrers; a list given replaces the stored one, a list left out stays."""

    def change(settings: ChannelSettings) -> ChannelSettings:
        return replace(
            settings,
            own_domains=() if no_own else tuple(own) if own else settings.own_domains,
            ignored_referrers=() if no_ignored else tuple(ignore) if ignore else settings.ignored_referrers,
        )

    _change(app_id, change)


@channels.command("add")
def add(
    app_id: AppOption,
    name: Annotated[str, typer.Argument(help="snake_case; a rule of this name is replaced where it stands.")],
    channel: Annotated[str, typer.Option(help="One of ours, or a word of your own (snake_case).")],
    source: Annotated[str, typer.Option(help=f"Of the tags. {_PATTERN}")] = "",
    medium: Annotated[str, typer.Option(help=f"Of the tags, as normalised. {_PATTERN}")] = "",
    campaign: Annotated[str, typer.Option(help=f"Of the tags. {_PATTERN}")] = "",
    referrer: Annotated[str, typer.Option(help=f"A host. {_PATTERN}")] = "",
    landing_page: Annotated[str, typer.Option(help=f"The whole address. {_PATTERN}")] = "",
    new_source: Annotated[str, typer.Option(help="What the source is called.")] = "",
    before: Annotated[str, typer.Option(help="The rule it goes before; else it comes last.")] = "",
) -> None:
    """Add a rule, or replace one. All patterns given must match; the first rule that does decides."""
    rule = ChannelRule(name, channel, source, medium, campaign, referrer, landing_page, new_source)
    from pipeline.control.channel_rules import with_rule

    _change(app_id, lambda settings: with_rule(settings, rule, before))


@channels.command("remove")
def remove(app_id: AppOption, name: Annotated[str, typer.Argument(help="As `channels show` shows it.")]) -> None:
    """Remove a rule."""
    from pipeline.control.channel_rules import without_rule

    _change(app_id, lambda settings: without_rule(settings, name))


@channels.command("test")
def try_out(
    app_id: AppOption,
    page: Annotated[str, typer.Option(help="The address of the first page.")] = "",
    referrer: Annotated[str, typer.Option(help="The page before it.")] = "",
    source: Annotated[str, typer.Option(help="Of the event's campaign fields.")] = "",
    medium: Annotated[str, typer.Option(help="Of the event's campaign fields.")] = "",
    campaign: Annotated[str, typer.Option(help="Of the event's campaign fields.")] = "",
) -> None:
    """Say which channel an arrival gets, and by which rule."""
    from pipeline.domain.channels.classify import classify_arrival, compile_channels

    with control_plane() as (store, _):
        settings = store.app(app_id).attribution.channels
    found = classify_arrival(page, referrer, (source, medium, campaign), compile_channels(settings))
    for name, value in (
        ("channel", str(found.channel)),
        ("source", found.source),
        ("medium", found.medium),
        ("campaign", found.campaign),
        ("click", "yes" if found.is_click else "no"),
        ("rule", found.rule),
    ):
        typer.echo(f"{name}\t{value}")


def _change(app_id: str, change: Callable[[ChannelSettings], ChannelSettings]) -> None:
    with control_plane() as (store, now_ms):
        known = store.app(app_id)
        attribution: AttributionSettings = replace(known.attribution, channels=change(known.attribution.channels))
        app = store.update_app(replace(known, attribution=attribution), now_ms)
    typer.echo(f"{app_id}\tattribution v{app.config_version}")

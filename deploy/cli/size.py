"""`attrikit size`: what an installation needs for its traffic, with the arithmetic."""

from typing import Annotated

import typer


def size(
    events_per_day: Annotated[float, typer.Option(min=1.0, help="Events a day; 1e9 is a billion.")],
    persons: Annotated[float, typer.Option(min=1.0, help="Persons seen within the days that states are kept.")],
    events_per_request: Annotated[float, typer.Option(min=1.0, help="How many a sender puts into one request.")] = 10.0,
    peak_factor: Annotated[float, typer.Option(min=1.0, help="Busiest minutes over the day's average.")] = 3.0,
    deliveries_per_day: Annotated[float, typer.Option(min=0.0, help="Webhooks sent.")] = 0.0,
    table_days: Annotated[float, typer.Option(min=1.0, help="How long rows are kept.")] = 400.0,
    source_days: Annotated[float, typer.Option(min=1.0, help="How long Kafka keeps the events.")] = 30.0,
) -> None:
    """Say how many partitions, processes, shards and disks so much traffic needs, and show how that is worked out."""
    from deploy.sizing.plan import Traffic, plan

    found = plan(
        Traffic(
            events_per_day=events_per_day,
            persons=persons,
            events_per_request=events_per_request,
            peak_factor=peak_factor,
            deliveries_per_day=deliveries_per_day,
            table_days=table_days,
            source_days=source_days,
        )
    )
    for need in found.needs():
        digits = 0 if need.value >= 10 or need.value == int(need.value) else 1
        typer.echo(f"{need.name:<24} {need.value:>12,.{digits}f} {need.unit}")
        typer.echo(f"{'':<24} {need.arithmetic}")
    for limit in found.limits:
        typer.echo(f"! {limit}")

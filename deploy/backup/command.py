"""`attrikit backup`, `attrikit restore` and `attrikit restore --check`.

What is kept, in this order, while traffic may flow:

    Step 1  the control plane, of one moment
    Step 2  how far the tables are loaded, and how many rows they have: what follows holds at least that
    Step 3  the tables, by ClickHouse itself
    Step 4  the data folder's files, where broker and stream lie in it
    Step 5  the manifest; without it the rest is no backup

A restore goes on loading from where step 2 says, out of Kafka; what it reads again replaces the same rows.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from typing import Final

from aiokafka import TopicPartition

from deploy.backup import control_plane, folder, tables
from deploy.backup.manifest import FILE_NAME, BackupError, Manifest, base_for, encoded, fewer_rows, name_at
from deploy.backup.place import Place
from deploy.backup.positions import Resumption, resumption
from pipeline.control.migrate import one_runner
from pipeline.runtime.clickhouse import ClickHouse, migrate
from pipeline.runtime.clock import now_ms
from pipeline.runtime.kafka.clients import build_consumer, started
from pipeline.runtime.kafka.read_range import whole_range
from pipeline.runtime.secret_box import SecretBox, SecretBoxError
from pipeline.runtime.settings import Settings
from pipeline.runtime.topics import ensure_topics
from schemas.clickhouse import load_migrations

Say = Callable[[str], None]
_CONTROL_PLANE: Final = "control-plane.jsonl"
_FOLDER: Final = "data-folder.tar.gz"
_PROOF: Final = "attrikit"


async def backup(settings: Settings, place: Place, disk: str, full_every_days: float, say: Say) -> Manifest:
    """Keep everything of an installation. Raises `BackupError`, and the errors of what is read and written."""
    began_ms = now_ms()
    name = name_at(began_ms)
    with folder.held(settings.data_dir):
        base = base_for(place.manifests(), disk, began_ms, full_every_days)
        storage = place.storage()
        lines = list(control_plane.rows_of(settings.control_plane_dsn()))
        with closing(await tables.open_one_host(settings)) as clickhouse:
            manifest = await _describe(settings, clickhouse, name, base, disk)
            with storage.writing(f"{name}/{_CONTROL_PLANE}") as file:
                file.write(b"".join(lines))
            say(f"control plane: {len(lines) - 1:,} rows")
            source = "" if base is None else place.tables(base.name, disk, os.environ)
            await tables.keep(clickhouse, place.tables(name, disk, os.environ), source)
            say(f"tables: {sum(sum(apps.values()) for apps in manifest.rows.values()):,} rows, {_kind(base)}")
        if manifest.has_folder:
            with storage.writing(f"{name}/{_FOLDER}") as file:
                folder.pack(folder.paths_to_keep(settings.data_dir), file)
            say(f"data folder: {', '.join(path.name for path in folder.paths_to_keep(settings.data_dir))}")
        with storage.writing(f"{name}/{FILE_NAME}") as file:
            file.write(encoded(manifest))
    return manifest


def _kind(base: Manifest | None) -> str:
    return "all of them" if base is None else f"what is new since {base.name}"


async def _describe(
    settings: Settings, clickhouse: ClickHouse, name: str, base: Manifest | None, disk: str
) -> Manifest:
    return Manifest(
        name=name,
        release=version("attrikit"),
        base=base.name if base else "",
        disk=disk,
        database=clickhouse.database,
        migrations=await tables.applied_migrations(clickhouse),
        loaded=await tables.loaded(clickhouse),
        rows=await tables.count_rows(clickhouse),
        has_folder=bool(folder.paths_to_keep(settings.data_dir)),
        key_proof=_proof(settings),
    )


def _proof(settings: Settings) -> str:
    try:
        return SecretBox.open(settings, creates=False).lock(_PROOF)
    except SecretBoxError:
        return ""


async def restore(settings: Settings, place: Place, name: str, say: Say) -> list[str]:
    """Bring a backup back into an installation that holds nothing yet; return what is not as it was then.
    Holds the lock of migrations.

    Raises `BackupError` before anything is changed if it holds something, or if this release or its key does not fit.
    """
    manifest = place.manifest(name)
    with one_runner(settings.control_plane_dsn(), say):
        await _refuse_what_does_not_fit(settings, manifest)
        return await _bring_back(settings, place, manifest, say)


async def _bring_back(settings: Settings, place: Place, manifest: Manifest, say: Say) -> list[str]:
    storage = place.storage()
    if manifest.has_folder:
        with storage.reading(f"{manifest.name}/{_FOLDER}") as file:
            folder.unpack(file, settings.data_dir)
        say("data folder: its files are there")
    has_own_broker = folder.has_broker(settings.data_dir)
    found = None if has_own_broker else await _resumption(settings, manifest)
    with closing(await tables.open_one_host(settings)) as clickhouse:
        source = place.tables(manifest.name, manifest.disk, os.environ)
        await tables.bring_back(clickhouse, manifest.database, source)
        await tables.set_loaded(clickhouse, manifest.loaded if found is None else found.positions, now_ms())
        await migrate(clickhouse)
        with storage.reading(f"{manifest.name}/{_CONTROL_PLANE}") as file:
            control_plane.load(settings, iter(bytes(file.read()).splitlines()))
        lacking = fewer_rows(manifest.rows, await tables.count_rows(clickhouse))
    say(f"tables and control plane: those of {manifest.name}")
    for line in _told(found):
        say(line)
    return lacking


async def check(settings: Settings, place: Place, name: str, say: Say) -> list[str]:
    """Compare the tables with the counts of a backup; return what they have less of."""
    manifest = place.manifest(name)
    with closing(await tables.open_one_host(settings)) as clickhouse:
        now = await tables.count_rows(clickhouse)
    for table, apps in manifest.rows.items():
        rows = sum(now.get(table, {}).values())
        say(f"{table}: {rows:,} rows, {sum(apps.values()):,} in the backup")
    return fewer_rows(manifest.rows, now)


async def _refuse_what_does_not_fit(settings: Settings, manifest: Manifest) -> None:
    known = {migration.number for migration in load_migrations()}
    if newer := set(manifest.migrations) - known:
        raise BackupError(f"the backup is of a newer release, {manifest.release} (migration {max(newer):04})")
    if manifest.has_folder and folder.is_used(settings.data_dir):
        raise BackupError(f"{settings.data_dir} holds an installation already; give ATTRIKIT_DATA_DIR another folder")
    if manifest.key_proof and not manifest.has_folder:
        SecretBox.open(settings, creates=False).unlock(manifest.key_proof)
    if table := await asyncio.to_thread(control_plane.what_is_there, settings.control_plane_dsn()):
        raise BackupError(f"the control plane holds something already ({table}): nothing is overwritten")
    with closing(await tables.open_one_host(settings, creates=True)) as clickhouse:
        if table := await tables.what_is_there(clickhouse):
            raise BackupError(f"the tables hold something already ({table}): nothing is overwritten")


async def _resumption(settings: Settings, manifest: Manifest) -> Resumption:
    """Compare how far the tables of the backup were loaded with what Kafka has."""
    await ensure_topics(settings)
    places = [TopicPartition(one.topic, one.partition) for one in manifest.loaded]
    async with started(build_consumer(settings)) as consumer:
        ranges = await whole_range(consumer, places)
    return resumption(manifest.loaded, {(tp.topic, tp.partition): span for tp, span in ranges.items()})


def _told(found: Resumption | None) -> list[str]:
    if found is None:
        return ["broker and stream: those of the backup; nothing is missing between them and the tables"]
    since = "records since the backup"
    lines = [f"{topic}: {count:,} {since} will be loaded from Kafka" for topic, count in found.again.items()]
    lines += [f"{topic}: {count:,} {since} are lost: Kafka has dropped them" for topic, count in found.lost.items()]
    if found.other:
        lines.append(
            f"{', '.join(found.other)}: not the topics of the backup, so they are loaded from their beginning. The "
            "stream knows nobody from before: a person's next session begins a new path, without earlier touches"
        )
    return lines

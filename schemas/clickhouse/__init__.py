"""The ClickHouse schema as numbered migrations: `migrations/NNNN_name.sql`, forward only.

An applied migration never changes (its checksum is recorded), names are unqualified (the connection says which
database), and every statement may be run twice (`IF NOT EXISTS` and the like), because a crash can come between a
statement and the record of it. A statement ends with a `;` at the end of its line.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Final

_FILE_NAME: Final = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql\Z")
_COMMENT_LINE: Final = re.compile(r"^\s*--.*$", re.MULTILINE)
_STATEMENT_END: Final = re.compile(r";[ \t]*$", re.MULTILINE)

MIGRATIONS_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    number UInt32,
    name String,
    checksum String,
    applied_at_ms Int64
)
ENGINE = ReplacingMergeTree
ORDER BY number
"""
"""Table of the applied migrations; it comes before the first of them."""


class MigrationError(RuntimeError):
    """The migrations and the database do not fit together. Stop: a person must look."""


@dataclass(frozen=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Hex SHA-256 of the file, with line ends as LF."""
        return sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()

    @property
    def statements(self) -> tuple[str, ...]:
        parts = _STATEMENT_END.split(_COMMENT_LINE.sub("", self.sql))
        return tuple(part.strip() for part in parts if part.strip())


@dataclass(frozen=True)
class AppliedMigration:
    """One row of `schema_migrations`."""

    number: int
    name: str
    checksum: str


def load_migrations() -> tuple[Migration, ...]:
    """All migrations of this release, in order. Raises `MigrationError` for a bad name or a gap in the numbers."""
    folder = files(__name__).joinpath("migrations")
    texts = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".sql")}
    return parse_migrations(texts)


def parse_migrations(texts: dict[str, str]) -> tuple[Migration, ...]:
    """`texts`: file name → content."""
    found = []
    for file_name in sorted(texts):
        match = _FILE_NAME.match(file_name)
        if match is None:
            raise MigrationError(f"a migration must be named NNNN_name.sql: {file_name}")
        found.append(Migration(int(match[1]), match[2], texts[file_name]))
    numbers = [migration.number for migration in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationError(f"migration numbers must run from 1 without a gap: {numbers}")
    return tuple(found)


def pending_migrations(migrations: tuple[Migration, ...], applied: list[AppliedMigration]) -> tuple[Migration, ...]:
    """List the migrations still to be applied. Raises `MigrationError` if an applied one was changed or is unknown
    here.
    """
    known = {migration.number: migration for migration in migrations}
    for row in applied:
        migration = known.get(row.number)
        if migration is None:
            raise MigrationError(
                f"the database has migration {row.number:04} ({row.name}), which this release does not know: "
                "it was made by a newer release"
            )
        if migration.checksum != row.checksum:
            raise MigrationError(
                f"migration {row.number:04} ({row.name}) was applied with checksum {row.checksum[:12]}, but its file "
                f"now has {migration.checksum[:12]}; applied migrations are immutable, add a new one instead"
            )
    done = {row.number for row in applied}
    return tuple(migration for migration in migrations if migration.number not in done)

"""When a SQLite file need not be read again."""

import pytest

from pipeline.control.file_watch import READ_AGAIN_NS, FileWatch, Look

SECOND_NS = 1_000_000_000
OLD = (1, 4096, 100 * SECOND_NS)
EARLIER = Look(200 * SECOND_NS, (OLD, None))


@pytest.mark.parametrize(
    ("earlier", "later", "expected"),
    [
        (EARLIER, Look(201 * SECOND_NS, (OLD, None)), True),
        (EARLIER, Look(201 * SECOND_NS, ((1, 4096, 150 * SECOND_NS), None)), False),
        (EARLIER, Look(201 * SECOND_NS, ((2, 4096, 100 * SECOND_NS), None)), False),
        (EARLIER, Look(201 * SECOND_NS, (OLD, (3, 0, 100 * SECOND_NS))), False),
        (EARLIER, Look(EARLIER.at_ns + READ_AGAIN_NS, (OLD, None)), False),
        (EARLIER, Look(199 * SECOND_NS, (OLD, None)), False),
        # It had changed just before it was read: another change in the same moment would look alike.
        (Look(101 * SECOND_NS, (OLD, None)), Look(110 * SECOND_NS, (OLD, None)), False),
    ],
)
def test_a_file_is_read_again_unless_nothing_can_have_changed(earlier: Look, later: Look, expected: bool) -> None:
    assert later.shows_same(earlier) is expected


@pytest.mark.parametrize("dsn", ["sqlite://", "postgresql+psycopg://user@host/database", "sqlite:////no/such/file.db"])
def test_what_cannot_be_looked_at_is_always_read(dsn: str) -> None:
    assert FileWatch(dsn).look(0) is None

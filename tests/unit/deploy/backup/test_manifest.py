"""What is asked of the descriptions of backups: which are complete, what a new one adds to, what is missing."""

import pytest

from deploy.backup.manifest import BackupError, Manifest, base_for, complete, decoded, encoded, fewer_rows, name_at

DAY_MS = 86_400_000
NOW_MS = 1_764_360_000_000


def manifest(days_ago: float, base: str = "", disk: str = "") -> Manifest:
    return Manifest(
        name=name_at(int(NOW_MS - days_ago * DAY_MS)),
        release="0.1.0",
        base=base,
        disk=disk,
        database="attrikit",
        migrations=(1, 2),
        loaded=(),
        rows={"events": {"shop": 3}},
        has_folder=False,
    )


def test_it_is_read_as_it_was_written() -> None:
    assert decoded(encoded(manifest(1))) == manifest(1)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"not json", encoded(manifest(1)).replace(b'"format": 1', b'"format": 2')]
)
def test_what_cannot_be_read_is_told(data: bytes) -> None:
    with pytest.raises(BackupError):
        decoded(data)


def test_a_backup_without_its_description_is_none() -> None:
    files = ["b/backup.json", "a/backup.json", "c/control-plane.jsonl", "d/tables/backup.json", "backup.json"]
    assert complete(files) == ["a", "b"]


def test_an_increment_adds_to_the_last_full_one() -> None:
    full, last = manifest(6), manifest(3)
    increment = manifest(1, base=last.name)
    assert base_for([full, last, increment], "", NOW_MS, 7) == last
    assert base_for([full, increment], "", NOW_MS, 7) == full


@pytest.mark.parametrize(("days_ago", "disk", "every"), [(8, "", 7), (1, "other", 7), (1, "", 0)])
def test_it_is_a_full_one_where_there_is_none_to_add_to(days_ago: float, disk: str, every: float) -> None:
    assert base_for([manifest(days_ago, disk=disk)], "", NOW_MS, every) is None


def test_each_table_with_fewer_rows_is_named_with_its_app() -> None:
    kept = {"events": {"a": 1_000, "b": 2}, "touches": {"a": 1}}
    now = {"events": {"a": 999, "b": 3}}
    assert fewer_rows(kept, now) == [
        "events, a: 999 rows, 1,000 in the backup",
        "touches, a: 0 rows, 1 in the backup",
    ]
    assert fewer_rows(kept, kept) == []

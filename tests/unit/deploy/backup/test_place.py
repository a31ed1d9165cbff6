"""The place of backups, as ClickHouse is told of it."""

from pathlib import Path

import pytest

from deploy.backup.manifest import BackupError
from deploy.backup.place import Place

KEYS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "it's"}


def test_a_folder() -> None:
    assert Place.of("/backups/").tables("n", "", {}) == "File('/backups/n/tables')"
    assert Place.of("/my backups").tables("n", "", {}) == "File('/my backups/n/tables')"
    assert Place.of("backups").url == (Path.cwd() / "backups").as_uri()


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no such folder"):
        Place.of(str(tmp_path / "none")).manifest("")
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_of_amazons_and_of_others() -> None:
    place = Place.of("s3://bucket/prefix/")
    amazons = "https://bucket.s3.eu-central-1.amazonaws.com/prefix/n/tables"
    assert place.tables("n", "", {"AWS_REGION": "eu-central-1"}) == f"S3('{amazons}')"
    other = KEYS | {"AWS_ENDPOINT_URL": "http://minio:9000/"}
    assert place.tables("n", "", other) == r"S3('http://minio:9000/bucket/prefix/n/tables', 'me', 'it\'s')"


def test_a_disk_of_the_servers_own() -> None:
    assert Place.of("s3://bucket").tables("n", "backups", KEYS) == "Disk('backups', 'n')"


@pytest.mark.parametrize("given", ["ftp://x/y", "https://bucket.example"])
def test_any_other_address_is_refused(given: str) -> None:
    with pytest.raises(BackupError, match="expected s3://"):
        Place.of(given)

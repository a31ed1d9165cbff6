"""Which files of a data folder count."""

from pathlib import Path

from deploy.backup.folder import is_used, paths_to_keep
from pipeline.control.migrate import one_runner


def test_the_lock_of_migrations_is_no_installation_and_is_not_kept(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    assert not is_used(data_dir)
    with one_runner(f"sqlite:///{data_dir}/control.db", lambda _: None):
        assert list(data_dir.iterdir()) != []
    assert not is_used(data_dir)
    (data_dir / "broker").mkdir()
    assert is_used(data_dir)
    assert [path.name for path in paths_to_keep(data_dir)] == ["broker"]

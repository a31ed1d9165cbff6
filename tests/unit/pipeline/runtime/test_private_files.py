"""Permissions of the files a process writes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.runtime.private_files import make_files_private, make_private_folder


@pytest.fixture
def usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_mask")
def test_what_is_made_from_here_on_is_the_users_alone(tmp_path: Path) -> None:
    make_files_private()
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("usual_mask")
def test_a_folder_of_before_is_closed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(mode=0o755)
    for name in ("old", "new"):
        make_private_folder(tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700

"""An argument that is refused, as whoever typed it reads it."""

import pytest
from typer.testing import CliRunner

from deploy.cli.main import app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["alerts", "add", "--app", "demo", "nonsense", "--above", "5"], "'nonsense' is not one of 'events',"),
        (["keys", "create", "--app", "demo", "--scope", "nonsense"], "'nonsense' is not one of 'write', 'read'"),
    ],
)
def test_what_can_be_chosen_is_told_without_the_words_of_a_library(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert words in refused.output
    assert "Value error" not in refused.output

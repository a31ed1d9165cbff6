"""The cache for texts of strangers."""

from schemas.caches import cache_short_texts


def test_short_arguments_are_remembered_and_long_ones_are_not() -> None:
    asked: list[tuple[str, str]] = []

    @cache_short_texts(entries=2, characters=6)
    def joined(one: str, other: str) -> str:
        asked.append((one, other))
        return one + other

    for pair in (
        ("abc", "def"),
        ("abc", "def"),
        ("abc", "defg"),
        ("abc", "defg"),
        ("", "x"),
        ("", "y"),
        ("abc", "def"),
    ):
        assert joined(*pair) == "".join(pair)
    assert asked == [("abc", "def"), ("abc", "defg"), ("abc", "defg"), ("", "x"), ("", "y"), ("abc", "def")]

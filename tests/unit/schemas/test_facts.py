"""The path of a conversion as columns, and as the touches it is of."""

import msgspec
import pytest

from schemas.facts import PATH_COLUMNS, AttributionRow, ConversionRow, TouchHead, path_of

TOUCHES = [TouchHead("e1", 5, "click", "paid_search", "baidu", "cpc", "spring"), TouchHead("e2", 7, "visit", *"abcd")]


@pytest.mark.parametrize(("row_type", "prefix"), [(AttributionRow, ""), (ConversionRow, "path_")])
def test_a_row_has_the_touches_its_columns_were_made_of(row_type: type[msgspec.Struct], prefix: str) -> None:
    columns = {prefix + column: [getattr(touch, name) for touch in TOUCHES] for name, column in PATH_COLUMNS.items()}
    other = dict.fromkeys(row_type.__struct_fields__)
    assert path_of(row_type(**other | columns)) == TOUCHES  # type: ignore[arg-type]

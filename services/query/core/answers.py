"""Parts that the answers of several resources share: types of fields, and `meta`. Pure.

Times are RFC 3339 with an offset. Money is a number in whole units of its currency, credit a number of conversions. A
field without a value is null.
"""

from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

Number: TypeAlias = Annotated[Decimal, WithJsonSchema({"type": "number"})]
JsonObject: TypeAlias = Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": True})]
Text: TypeAlias = str | None
Refunded: TypeAlias = Annotated[Number, Field(description="Taken back by refunds; `value` is without it.")]
ValueIssueText: TypeAlias = Annotated[
    str | None,
    Field(
        description="Why the value is not known, though one is given: unreadable_currency, unreadable_value (the "
        "amount cannot be read) or negative_value. Such a conversion counts, and adds nothing to sums of value. Null: "
        "the value is known, or none was given and it is 0."
    ),
]
NextCursor: TypeAlias = Annotated[
    str | None, Field(description="Pass it as `cursor` for the next page; null: this is the last.")
]
CompleteThrough: TypeAlias = Annotated[
    str | None,
    Field(
        description="Every event accepted with a time before this has been processed and can be read; later ones may "
        "still be on their way. Null: not known yet."
    ),
]
RangeEnd: TypeAlias = Annotated[
    str | None, Field(description="As it was understood, in `timezone`: `from` inclusive, `to` exclusive. Null: open.")
]
Meta = TypedDict("Meta", {"complete_through": CompleteThrough, "timezone": str, "from": RangeEnd, "to": RangeEnd})
META: Final = {
    "complete_through": "2024-01-15T18:29:00.000+08:00",
    "timezone": "Asia/Shanghai",
    "from": "2024-01-15T00:00:00.000+08:00",
    "to": None,
}

"""What decoding raises for a text that is no JSON, or not of the type that is asked for."""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""One alone is seldom enough: a text may be no UTF-8, or nested too deep for its decoder. How deep that is depends on
where the decoder is called, so the second look at an event may find it first.
"""

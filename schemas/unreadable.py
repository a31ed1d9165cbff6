"""What decoding raises for a text that is no JSON, or not of the type that is asked for."""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""One alone is seldom enough: a text may be no UTF-8, hold half a character that is none in UTF-8, or be nested too
deep for its decoder. How deep that is depends on where the decoder is called, so the second look at an event may find
it first.
"""

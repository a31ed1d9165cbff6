"""The errors of a JSON decoder, to be caught together."""

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""Errors of decoding a text: it is no JSON, not of the wanted type, no valid Unicode, or nested too deeply.

A decoder called from deeper in the stack accepts less nesting, so a text that was decoded once may fail the next time.
"""

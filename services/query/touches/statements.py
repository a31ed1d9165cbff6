"""Columns of touches that answers show. Pure."""

from schemas.facts import TouchHead


class TouchFact(TouchHead, gc=False):
    session_id: str

"""Late events: those before what is final for their person.

The horizon is the watermark less the allowed lateness. An event at or after it is never late. One before it is late
only where the person has something final that reaches past it:

    never seen, or first seen so lately that no session of it is final    nothing is final
    seen, and its last session is final                                   everything until that one's end plus the gap
    seen, and still active                                                everything before the horizon

An event that is taken in behind the horizon is *history*. For a day after its receipt (or the lateness, if that is
longer), measured by the watermark, nothing further becomes final for its person: an import that takes hours, in any
order and in any number of batches, counts as if it had come in order.

All this follows from the events sent under one id, in the order of its log. What a merge brings does not enter, so
it does not matter when the journey of another id arrives.
"""

from typing import Final

from pipeline.domain.rules import DAY_MS, AppRules
from pipeline.domain.state import PersonState

HISTORY_OPEN_MS: Final = DAY_MS


def is_late(state: PersonState, timestamp_ms: int, received_s: int, rules: AppRules, watermark_ms: int) -> bool:
    """Tell whether an event sent under the state's own id is late. One that is not late is noted as the id's."""
    if timestamp_ms < state.cut_ms:
        return True
    if timestamp_ms < watermark_ms - rules.lateness_ms:
        final_ms = final_before_ms(state, rules, watermark_ms)
        if timestamp_ms < final_ms:
            return True
        state.final_ms = final_ms
        state.history_s = max(state.history_s, received_s)
        state.held_s = max(state.held_s, received_s)
    if timestamp_ms > state.last_ms:
        if not state.last_ms:
            state.first_ms = timestamp_ms
        state.last_ms = timestamp_ms
    elif timestamp_ms < state.first_ms:
        state.first_ms = timestamp_ms
    return False


def final_before_ms(state: PersonState, rules: AppRules, watermark_ms: int) -> int:
    """Events before it are late, if they are before the horizon too. Never goes back as the watermark goes on."""
    final_ms = max(state.final_ms, state.cut_ms)
    if watermark_ms < open_until_ms(state.history_s, rules):
        return final_ms
    horizon_ms = watermark_ms - rules.lateness_ms
    if not state.last_ms or state.first_ms + rules.gap_ms > horizon_ms:
        return final_ms
    return max(final_ms, min(horizon_ms, state.last_ms + rules.gap_ms))


def may_be_late(timestamp_ms: int, received_us: int, rules: AppRules) -> bool:
    """Tell from an event alone whether it may be late: it is behind the horizon of live traffic, so it is late where
    its person has something final that reaches past it.
    """
    return timestamp_ms < received_us // 1000 - rules.lateness_ms


def open_until_ms(history_s: int, rules: AppRules) -> int:
    """The watermark until which nothing becomes final, if history was last received at `history_s`; 0: none was."""
    return history_s * 1000 + max(HISTORY_OPEN_MS, rules.lateness_ms) if history_s else 0

"""Last use of keys, as far as it is to be written down."""

from pipeline.control.usage import WRITE_EVERY_MS, KeyUsage


def test_a_key_is_written_at_once_and_then_once_a_minute():
    usage = KeyUsage()
    assert usage.due(0) == {}
    usage.note("a", 5)
    usage.note("a", 10)
    assert usage.due(10) == {"a": 10}
    usage.written({"a": 10}, 10)
    usage.note("a", 20)
    usage.note("b", 20)
    assert usage.due(20) == {"b": 20}
    assert usage.unwritten() == {"a": 20, "b": 20}
    assert usage.due(10 + WRITE_EVERY_MS) == {"a": 20, "b": 20}


def test_a_key_nobody_used_again_is_not_written_again():
    usage = KeyUsage()
    usage.note("a", 10)
    usage.written(usage.due(10), 10)
    assert usage.unwritten() == {}
    assert usage.due(10 + 2 * WRITE_EVERY_MS) == {}


def test_what_could_not_be_written_stays_due():
    usage = KeyUsage()
    usage.note("a", 10)
    assert usage.due(10) == usage.due(11) == {"a": 10}


def test_a_use_noted_while_its_key_is_being_written_is_not_lost():
    usage = KeyUsage()
    usage.note("a", 10)
    due = usage.due(10)
    usage.note("a", 11)
    usage.written(due, 12)
    assert usage.unwritten() == {"a": 11}

import pytest
from aiokafka import TopicPartition

from deploy.local.trim import KEPT_RECORDS, plan_trim
from schemas.topics import LOADER_GROUP, STREAM_GROUP

EVENTS, SESSIONS = TopicPartition("events", 1), TopicPartition("sessions", 1)


def plan(committed):
    return plan_trim(committed, partitions=2, kept=100)


def test_only_what_every_group_has_read_goes():
    committed = {LOADER_GROUP: {EVENTS: 900}, STREAM_GROUP: {EVENTS: 700}, "someone": {EVENTS: 800}}
    assert plan(committed) == {EVENTS: 600}


@pytest.mark.parametrize("missing", [LOADER_GROUP, STREAM_GROUP])
def test_events_stay_until_both_readers_have_come(missing):
    committed = {LOADER_GROUP: {EVENTS: 900}, STREAM_GROUP: {EVENTS: 900}}
    del committed[missing]
    assert plan(committed) == {}


def test_derived_topics_wait_for_the_loader_and_for_whoever_else_reads_them():
    assert plan({STREAM_GROUP: {SESSIONS: 900}}) == {}
    assert plan({LOADER_GROUP: {SESSIONS: 900}}) == {SESSIONS: 800}
    assert plan({LOADER_GROUP: {SESSIONS: 900}, "webhooks": {SESSIONS: 300}}) == {SESSIONS: 200}


@pytest.mark.parametrize(("committed", "expected"), [(0, {}), (100, {}), (101, {SESSIONS: 1})])
def test_the_last_records_stay(committed, expected):
    assert plan({LOADER_GROUP: {SESSIONS: committed}}) == expected


def test_topics_that_are_not_ours_and_partitions_out_of_range_are_left_alone():
    others = {TopicPartition("attrikit-stream-persons-changelog", 0): 900, TopicPartition("sessions", 7): 900}
    assert plan({LOADER_GROUP: others}) == {}


def test_progress_keeps_more_than_it_reads():
    assert KEPT_RECORDS > 16

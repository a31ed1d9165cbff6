import struct

import pytest

from deploy.local.broker import is_settled

ONE = [(1, "127.0.0.1", 9092, None)]


def text(value: str | None) -> bytes:
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value)) + value.encode()


def metadata(brokers, controller: int, topics: dict[str, list[int]]) -> bytes:
    """A Metadata v1 response; topic → the leader of each partition."""
    body = struct.pack(">ii", 1, len(brokers))
    for node, host, port, rack in brokers:
        body += struct.pack(">i", node) + text(host) + struct.pack(">i", port) + text(rack)
    body += struct.pack(">ii", controller, len(topics))
    for name, leaders in topics.items():
        body += struct.pack(">h", 0) + text(name) + struct.pack(">bi", 0, len(leaders))
        for partition, leader in enumerate(leaders):
            body += struct.pack(">hii", 0, partition, leader) + struct.pack(">iii", 2, 1, 2) + struct.pack(">i", 0)
    return body


@pytest.mark.parametrize(
    ("brokers", "controller", "topics", "expected"),
    [
        (ONE, 1, {}, True),
        ([(1, "a", 1, "rack-1"), (2, "bb", 2, None)], 0, {"events": [1, 2], "rejected": [1]}, True),
        (ONE, 1, {"events": [1, -1]}, False),
        (ONE, 1, {"events": [1, 1], "rejected": [-1]}, False),
        (ONE, -1, {}, False),
        ([], 1, {}, False),
    ],
)
def test_a_broker_is_settled_when_everything_has_its_leader(brokers, controller, topics, expected):
    assert is_settled(metadata(brokers, controller, topics)) is expected


def test_half_an_answer_is_an_error():
    whole = metadata(ONE, 1, {"events": [1]})
    for size in range(len(whole) - 4):
        with pytest.raises(struct.error):
            is_settled(whole[:size])

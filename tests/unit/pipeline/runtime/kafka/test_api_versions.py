"""What a broker lacks of what clients send."""

from pipeline.runtime.kafka.api_versions import NEEDED, lacking


def test_a_broker_with_the_versions_that_are_needed_lacks_nothing() -> None:
    assert lacking({key: api.version for key, api in NEEDED.items()}) == ()


def test_an_older_version_and_a_missing_one_are_told() -> None:
    newest = {key: 20 for key in NEEDED if key != 22} | {0: 6}
    told = ("Produce 7 (records in zstd)", "InitProducerId 0 (producers that write nothing twice)")
    assert lacking(newest) == told

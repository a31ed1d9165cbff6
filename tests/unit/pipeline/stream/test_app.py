from pipeline.stream.app import instance_id


def test_a_worker_keeps_its_identity_in_its_place() -> None:
    assert instance_id("host-1", "/data/a") == instance_id("host-1", "/data/a")
    ids = {instance_id(host, folder) for host in ("host-1", "host-2") for folder in ("/data/a", "/data/b")}
    assert len(ids) == 4

from urllib.parse import parse_qs, urlsplit

from services.query.exports.download_links import download_path, opens, signature

KEY, JOB = b"k" * 32, "exp_1"


def test_a_link_opens_until_it_expires() -> None:
    url = urlsplit(download_path(KEY, JOB, 100))
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert url.path == "/v1/reports/export/exp_1/download"
    assert query == {"expires": "100", "signature": signature(KEY, JOB, 100)}
    assert opens(KEY, JOB, 100, query["signature"], 99.9)
    assert not opens(KEY, JOB, 100, query["signature"], 100)


def test_nothing_else_opens() -> None:
    signed = signature(KEY, JOB, 100)
    assert not opens(KEY, JOB, 101, signed, 1)
    assert not opens(KEY, "exp_2", 100, signed, 1)
    assert not opens(b"other", JOB, 100, signed, 1)
    for given in ("", signed[:-1], signed.upper(), "é", signed + "0"):
        assert not opens(KEY, JOB, 100, given, 1)


def test_a_signature_is_an_hmac_sha_256() -> None:
    """Pinned, so that links of before an update keep opening."""
    assert signature(b"Jefe", "exp_0", 1) == "300e7781fc5ed21623f9123006f92f7da91545ccad07fb334b45e270c9860d19"

"""What comes from outside: wrong in every way, it is refused with a 4xx, never breaks the server and never comes back."""

import asyncio
import json
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from little_shop import Shop, ask, linear
from starlette.testclient import TestClient

from pipelines.serving import http
from pipelines.serving.http import BODY
from pipelines.serving.schema import Refused

JSON = {"content-type": "application/json"}
GOOD = json.dumps({"asks": [ask()]}).encode()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("home"))
    shop.promote("fraud", linear([0.0001, 0.5]))
    service = shop.service()
    with TestClient(service.app(), "http://127.0.0.1", raise_server_exceptions=False) as client:
        client.service = service
        yield client


def post(client, body, **headers):
    return client.post("/v1/fraud", content=body, headers={**JSON, **headers})


def asked(**changed):
    return json.dumps({"asks": [ask(**changed)]}).encode()


BROKEN = {
    "NaN": GOOD.replace(b"0.5", b"NaN"),
    "infinity": GOOD.replace(b"0.5", b"Infinity"),
    "1e999": GOOD.replace(b"0.5", b"1e999"),
    "nan as text": asked(rate="nan"),
    "a huge integer": GOOD.replace(b"5000", b"9" * 400),
    "an integer of 5000 digits": GOOD.replace(b"5000", b"9" * 5000),
    "true for an integer": asked(amount_cents=True),
    "a lone surrogate": GOOD.replace(b"c1", b"\\ud800"),
    "another lone surrogate": GOOD.replace(b"c1", b"\\udc00x"),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "bytes that are no UTF-8": GOOD.replace(b"c1", b"\xff\xfe"),
    "nested too deep": b'{"asks": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects nested too deep": b'{"asks": [' + b'{"card":' * 20_000,
    "nothing": b"",
    "two values": GOOD + GOOD,
    "a list": b"[]",
    "cut short": GOOD[:-5],
    "an unknown field": asked(iban="DE00"),
    "no asks": b'{"asks": []}',
    "too many asks": json.dumps({"asks": [ask(id=f"p{i}") for i in range(513)]}).encode(),
    "a long text": asked(note="x" * 1001),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_body_is_the_senders_fault(client, name):
    refused = post(client, BROKEN[name])
    assert refused.status_code in (400, 422), refused.text
    assert set(refused.json()) == {"problems"}


def test_names_in_any_script_are_fine(client):
    assert post(client, asked(note="很好 \u202e مرحبا \x00 🙂")).status_code == 200


def test_a_body_too_large_is_refused_before_it_is_read_whole(client):
    def chunks():
        for _ in range(100):
            yield b" " * (BODY // 10)

    assert post(client, b"x" * (BODY + 1)).status_code == 413
    assert post(client, chunks()).status_code == 413
    assert post(client, b"{}", **{"content-length": "9" * 30}).status_code == 413


def test_a_large_body_is_refused_at_once(client):
    began = time.perf_counter()
    assert post(client, b"x" * 10_000_000).status_code == 413
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}, {"content-type": ""},
        {"content-type": "application/json; charset=utf-16"}, {"content-type": "multipart/form-data; boundary=x"},
        {"content-encoding": "gzip"},
    ],
)  # fmt: skip
def test_only_plain_json_is_read(client, headers):
    assert client.post("/v1/fraud", content=GOOD, headers={**JSON, **headers}).status_code == 415


def test_json_may_say_that_it_is_utf_8(client):
    assert post(client, GOOD, **{"content-type": 'Application/JSON; charset="UTF-8"'}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil", "[::1", "127.0.0.1:80:80", "0.0.0.0"]
)
def test_a_request_for_another_host_is_refused(client, host):
    for path in ("/healthz", "/console"):
        assert client.get(path, headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "LOCALHOST", "[::1]:9"])
def test_this_machines_names_are_answered_to(client, host):
    assert client.get("/healthz", headers={"host": host}).status_code == 200


def test_headers_are_bounded(client):
    assert client.get("/healthz", headers={"x": "a" * http.HEADER}).status_code == 431


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/console", "/openapi.json", "/nowhere", "/v1/fraud"])
def test_every_response_carries_the_security_headers(client, path):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


def test_other_methods_and_paths_are_refused_in_json(client):
    assert client.get("/v1/fraud").status_code == 405
    assert client.options("/v1/fraud", headers={"origin": "http://evil.example"}).status_code == 405
    assert client.get("/v1/<script>").json() == {"problems": ["path: no such route; see /openapi.json"]}


def test_a_body_that_trickles_in_is_given_up(client, monkeypatch):
    monkeypatch.setattr(http, "SLOW", 0.01)

    async def trickle(request):
        await asyncio.Event().wait()

    monkeypatch.setattr(http, "_read", trickle)
    assert post(client, GOOD).status_code == 408


PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(list(ask().values()))
)
TREES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ask(), "z"]), inner, max_size=3),
    max_leaves=5,
)
ASKS = st.fixed_dictionaries({}, optional=dict.fromkeys([*ask(), "ts", "z"], TREES))
BODIES = st.one_of(
    TREES.map(lambda tree: json.dumps({"asks": tree}).encode()),
    st.lists(ASKS, max_size=2).map(lambda asks: json.dumps({"asks": asks}).encode()),
    st.tuples(st.integers(0, len(GOOD)), st.binary(max_size=4), st.integers(0, 4)).map(
        lambda c: GOOD[: c[0]] + c[1] + GOOD[c[0] + c[2] :]
    ),
)


def answers_or_refuses(service, body):
    try:
        return service.answer("fraud", body).status_code == 200
    except Refused as refused:
        return 400 <= refused.status < 500 and all(isinstance(problem, str) for problem in refused.problems)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES)
def test_no_body_breaks_the_server(client, body):
    assert answers_or_refuses(client.service, body)


@pytest.mark.slow
def test_ten_thousand_damaged_bodies_do_not_break_the_server(client):
    rng = np.random.default_rng(30)
    pieces = [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b",",
        b":",
        b"null",
        b"true",
        b"-",
        b"1e9999",
        b"\\u0000",
        b"\\ud83d",
        b"\xff",
        b"9" * 30,
        b"",
    ]
    for _ in range(10_000):
        body = GOOD
        for at in rng.integers(0, len(GOOD), rng.integers(1, 5)):
            body = body[:at] + pieces[rng.integers(len(pieces))] + body[at + rng.integers(0, 6) :]
        assert answers_or_refuses(client.service, body), body

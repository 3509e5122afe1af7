import pytest
from little_shop import ask, linear

from pipelines.core.errors import ShelflifeError
from pipelines.serving.tokens import Token

OPEN = {"/healthz", "/readyz"}


def send(client, route, headers):
    method = (route.methods - {"HEAD"}).pop()
    return client.request(method, route.path, headers=headers).status_code


def test_every_route_says_who_may_use_it(shop, open_client):
    with open_client() as client:
        scopes = {route.path: route.endpoint.scope for route in client.service.routes()}
    assert {path for path, scope in scopes.items() if scope == "open"} == OPEN
    assert set(scopes.values()) == {"open", "ask", "read", "write"}
    assert scopes["/v1/events"] == "write"


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize(
    "given", [None, "Bearer ", "Bearer wrong", "Basic {token}", "Bearer {token}x", "{token}", "Bearer {token}"]
)
def test_only_who_bears_the_token_gets_past_the_door(shop, open_client, private, given):
    shop.promote("fraud", linear([0.0001, 0.5]))
    with open_client(private=private) as client:
        token = shop.bearer["Authorization"].removeprefix("Bearer ")
        headers = {} if given is None else {"Authorization": given.format(token=token)}
        for route in client.service.routes():
            scope = route.endpoint.scope
            allowed = scope == "open" or given == "Bearer {token}" or (private and scope != "write")
            assert (send(client, route, headers) != 401) == allowed, route.path


def test_a_new_token_holds_at_once_and_the_old_one_while_it_is_listed(shop, open_client, tmp_path):
    with open_client() as client:
        old = shop.bearer
        path = tmp_path / "token"
        path.write_text(path.read_text() + "n" * 40 + "\n")
        new = {"Authorization": "Bearer " + "n" * 40}
        assert [client.service.token.allows(headers["Authorization"].encode()) for headers in (old, new)] == [True, True]
        path.write_text("n" * 40)
        assert [client.service.token.allows(headers["Authorization"].encode()) for headers in (old, new)] == [False, True]


def test_the_token_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    token = Token.at(tmp_path / "token")
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert Token.at(tmp_path / "token").read() == token.read()
    assert len(token.read()[0]) >= 32


def test_a_token_that_others_can_read_or_that_is_short_lets_nobody_in(tmp_path):
    token = Token.at(tmp_path / "token")
    header = b"Bearer " + token.read()[0]
    token.path.chmod(0o644)
    assert not token.allows(header)
    with pytest.raises(ShelflifeError, match="chmod 600"):
        token.read()
    token.path.chmod(0o600)
    assert token.allows(header)
    for text in ("short", ""):
        token.path.write_text(text)
        assert not token.allows(b"Bearer " + text.encode())
    token.path.unlink()
    assert not token.allows(header)


def test_events_need_the_token_and_are_durable_when_they_are_acknowledged(shop, open_client):
    event = {"kind": "payment", "id": "p-1", "ts": shop.now, "body": {k: v for k, v in ask().items() if k != "id"}}
    with open_client() as client:
        assert client.post("/v1/events", json={"events": [event]}).status_code == 401
        assert shop.events == []
        told = client.post("/v1/events", json={"events": [event]}, headers=shop.bearer)
        assert (told.status_code, told.json()) == (200, {"accepted": 1, "offset": 1, "quarantined": []})
        assert [event.id for event in shop.events] == ["p-1"]


def test_events_are_not_acknowledged_while_the_log_is_away(shop, open_client):
    shop.down.add("log")
    event = {"kind": "payment", "id": "p-1", "ts": shop.now, "body": {k: v for k, v in ask().items() if k != "id"}}
    with open_client() as client:
        for rows in ([event], [{**event, "body": {}}]):
            away = client.post("/v1/events", json={"events": rows}, headers=shop.bearer)
            assert (away.status_code, away.headers["retry-after"]) == (503, "5")
        shop.down.clear()
        assert client.post("/v1/events", json={"events": [event]}, headers=shop.bearer).status_code == 200

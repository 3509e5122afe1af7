import json

import pytest
from little_shop import ask, linear, model

from pipelines.core.errors import ShelflifeError
from pipelines.core.event import Event
from pipelines.serving import app as app_module
from pipelines.shop.contracts import CONTRACTS


@pytest.fixture
def full(shop):
    shop.promote("fraud", linear([0.0001, 0.5]))
    shop.promote("demand", model([3.0, 5.0, 7.2], 1))
    shop.promote("recommend", linear([1.0]))
    return shop


ASKED = {
    "fraud": ask(),
    "demand": {"id": "d-1", "item": "i", "price_cents": 500},
    "recommend": {"id": "v-1", "item": "i", "trail": []},
}


@pytest.mark.parametrize("case", ASKED)
def test_an_answer_says_who_gave_it(full, open_client, case):
    with open_client() as client:
        answered = client.post(f"/v1/{case}", json={"asks": [ASKED[case]]})
    assert answered.status_code == 200, answered.text
    body, champion = answered.json(), full.champions[case]
    assert (body["release"], body["bundle"], body["epoch"]) == (champion.release, champion.bundle, champion.epoch)
    assert (body["degraded"], body["reasons"]) == (False, [])
    assert body["answers"][0]["ask"] == ASKED[case]["id"]


@pytest.mark.parametrize("case", ASKED)
def test_each_answer_is_logged_with_all_that_traces_it(full, open_client, case):
    with open_client() as client:
        body = client.post(f"/v1/{case}", json={"asks": [ASKED[case], {**ASKED[case], "id": "other"}]}).json()
    first, second = full.predictions
    champion = full.champions[case]
    assert [first.id, second.id] == [answer["prediction"] for answer in body["answers"]]
    assert first.body["request_id"] == second.body["request_id"] == body["request"]
    assert first.body["ask"] == ASKED[case]["id"]
    assert (first.body["release"], first.body["bundle"], first.body["verdict"]) == (
        champion.release,
        champion.bundle,
        champion.verdict,
    )
    assert first.body["seen_offset"] == 41
    assert json.loads(first.body["answer"]) == body["answers"][0]


@pytest.mark.parametrize("case", ASKED)
def test_a_prediction_keeps_its_own_contract(full, open_client, case):
    with open_client() as client:
        client.post(f"/v1/{case}", json={"asks": [ASKED[case]]})
    (event,) = full.predictions
    assert CONTRACTS["prediction"].problems(event, full.now) == ()


def test_a_logged_answer_can_be_computed_again_from_what_was_logged(full, open_client):
    import numpy as np

    with open_client() as client:
        client.post("/v1/fraud", json={"asks": [ask(id=f"p{i}", amount_cents=1 + i * 37) for i in range(50)]})
        _, loaded = client.service.champions.serving["fraud"]
    for event in full.predictions:
        (row,) = json.loads(event.body["inputs"])["rows"]
        again = loaded.scorer.score({name: np.array([value]) for name, value in row.items()})
        assert again[0] == pytest.approx(event.body["score"], abs=1e-12)


def test_a_batch_is_answered_in_its_order_and_as_each_alone(full, open_client):
    asks = [ask(id=f"p{i}", amount_cents=1 + i) for i in range(512)]
    with open_client() as client:
        together = client.post("/v1/fraud", json={"asks": asks}).json()["answers"]
        alone = client.post("/v1/fraud", json={"asks": asks[100:101]}).json()["answers"]
    assert [answer["ask"] for answer in together] == [a["id"] for a in asks]
    assert together[100]["score"] == alone[0]["score"]


def test_a_use_case_without_a_release_says_so_and_still_checks_the_ask(shop, open_client):
    with open_client() as client:
        assert client.post("/v1/fraud", json={"asks": [ask()]}).status_code == 503
        assert client.post("/v1/fraud", json={"asks": [ask(card=1)]}).status_code == 422
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200


def test_readiness_names_what_answers(full, open_client):
    with open_client() as client:
        told = client.get("/readyz")
    assert told.status_code == 200
    assert {case: row["bundle"] for case, row in told.json()["cases"].items()} == {c: full.champions[c].bundle for c in ASKED}


def test_answers_go_on_and_say_so_while_the_features_store_is_away(full, open_client):
    with open_client(fallback=True) as client:
        client.post("/v1/fraud", json={"asks": [ask()]})
        full.readers["fraud"].down = True
        body = client.post("/v1/fraud", json={"asks": [ask(id="p-2")]}).json()
    assert body["reasons"] == ["features"]
    assert full.predictions[1].body["seen_offset"] is None
    assert full.predictions[1].body["degraded"] is True


def test_without_a_fallback_an_unreadable_store_is_a_503(full, open_client):
    with open_client() as client:
        client.post("/v1/fraud", json={"asks": [ask()]})
        full.readers["fraud"].down = True
        assert client.post("/v1/fraud", json={"asks": [ask()]}).status_code == 503


def test_asks_that_no_reader_can_answer_are_the_askers_fault(full, open_client):
    def refuse(asks):
        raise ShelflifeError("wanted asks from 2025 on")

    with open_client(fallback=True) as client:
        _, loaded = client.service.champions.serving["fraud"]
        loaded.reader.read = loaded.fallback.read = refuse
        assert client.post("/v1/fraud", json={"asks": [ask()]}).status_code == 422


def test_a_score_that_is_no_number_is_answered_with_the_typical_one(full, open_client):
    with open_client() as client:
        body = client.post("/v1/fraud", json={"asks": [ask(rate=None)]}).json()
    assert body["reasons"] == ["score"]
    assert 0 < body["answers"][0]["score"] < 1


def test_answers_go_on_and_say_so_while_the_log_is_away(full, open_client):
    full.down.add("log")
    with open_client() as client:
        client.post("/v1/fraud", json={"asks": [ask()]})
        with pytest.raises(OSError, match="log"):
            client.service.predictions.move()
        client.service.predictions._behind = True
        assert client.post("/v1/fraud", json={"asks": [ask()]}).json()["reasons"] == ["log"]
        full.down.clear()
    assert len(full.predictions) == 2


def test_one_request_too_many_is_told_to_come_again(full, open_client, monkeypatch):
    with open_client() as client:
        client.service._answers.waiting = app_module.WAITING
        shed = client.post("/v1/fraud", json={"asks": [ask()]})
        assert (shed.status_code, shed.headers["retry-after"]) == (503, "1")
        client.service._answers.waiting = 0
        assert client.post("/v1/fraud", json={"asks": [ask()]}).status_code == 200


def test_what_breaks_inside_is_told_to_nobody(full, open_client):
    with open_client() as client:
        client.service.predictions.record = None
        broken = client.post("/v1/fraud", json={"asks": [ask()]})
    assert broken.status_code == 500
    assert "NoneType" not in broken.text
    assert broken.headers["x-content-type-options"] == "nosniff"


def test_the_description_has_each_route_with_its_types(full, open_client):
    with open_client() as client:
        told = client.get("/openapi.json").json()
        paths = {(route.path, method.lower()) for route in client.service.routes() for method in route.methods - {"HEAD"}}
    assert {(path, method) for path, methods in told["paths"].items() for method in methods} == paths
    schemas = told["components"]["schemas"]
    wanted = set(_refs(told))
    assert {f"#/components/schemas/{name}" for name in schemas} >= wanted
    fraud = schemas["FraudAsk"]
    assert fraud["required"] == ["id", "card", "amount_cents", "country"]
    assert fraud["properties"]["amount_cents"]["maximum"] == 500_000
    assert fraud["additionalProperties"] is False
    assert set(schemas["FraudAnswers"]["properties"]) >= {"release", "degraded", "answers"}


def _refs(value):
    if isinstance(value, dict):
        yield from [value["$ref"]] if "$ref" in value else []
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from _refs(item)


def test_a_label_cannot_be_forged_into_an_event_of_ours(full, open_client):
    forged = {"kind": "prediction", "id": "x", "ts": full.now, "body": {}}
    with open_client() as client:
        told = client.post("/v1/events", json={"events": [forged]}, headers=full.bearer)
    assert told.status_code == 422
    assert full.events == []
    assert isinstance(full.quarantined[0][0], Event)

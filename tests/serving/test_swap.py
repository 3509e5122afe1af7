"""A promotion is picked up without losing or mixing a request; what is away takes no answer along."""

import itertools
import threading
import time

import pytest
from little_shop import ask, linear, model

from pipelines.serving import swap

BODY = b'{"asks": [{"id": "p-1", "card": "c1", "amount_cents": 5000, "country": "DE", "rate": 0.5}]}'


def constant(score):
    return model([score], 2)


@pytest.fixture
def champions(shop):
    return shop.service().champions


def score(champions, case="fraud"):
    champion, loaded = champions.serving[case]
    found = loaded.answer(champion, loaded.asks.decode(BODY, 2**50), "r", 0)
    return round(found.answers[0].score, 3), found.champion.release


def test_a_promotion_is_picked_up_at_the_next_look(shop, champions):
    shop.promote("fraud", constant(0.25))
    champions.look()
    assert score(champions) == (0.25, shop.champions["fraud"].release)
    shop.promote("fraud", constant(0.75))
    champions.look()
    assert score(champions) == (0.75, shop.champions["fraud"].release)


def test_a_rollback_loads_nothing(shop, champions):
    for value in (0.25, 0.75):
        shop.promote("fraud", constant(value))
        champions.look()
    loads = shop.loads
    shop.rollback("fraud")
    champions.look()
    assert score(champions)[0] == 0.25
    assert shop.loads == loads


def test_a_restarted_server_has_the_champion_before_warm(shop):
    for value in (0.25, 0.75):
        shop.promote("fraud", constant(value))
    champions = shop.service().champions
    champions.look()
    assert set(champions.warm) == set(shop.bundles)


def test_bundles_that_nothing_would_return_to_are_let_go(shop, champions):
    for n in range(5):
        shop.promote("fraud", constant(n / 10))
        champions.look()
    assert len(champions.warm) == 2


def test_the_last_good_release_answers_while_the_state_is_away(shop, champions, monkeypatch):
    shop.promote("fraud", constant(0.25))
    champions.look()
    assert champions.troubles("fraud") == ()
    shop.down.add("state")
    assert not champions.look()
    monkeypatch.setattr(swap, "STALE", -1.0)
    assert score(champions)[0] == 0.25
    assert champions.troubles("fraud") == ("state",)


def test_a_use_case_that_the_state_forgets_keeps_answering(shop, champions):
    shop.promote("fraud", constant(0.25))
    champions.look()
    shop.champions, shop.count = {}, 99
    champions.look()
    assert score(champions)[0] == 0.25
    assert champions.troubles("fraud") == ("state",)


@pytest.mark.parametrize("harm", ["bytes", "unsigned", "gone", "other case", "golden"])
def test_a_release_that_is_not_what_was_judged_does_not_take_over(shop, champions, harm):
    shop.promote("fraud", constant(0.25))
    champions.look()
    champion = shop.promote("fraud", constant(0.75))
    made, files = shop.bundles[champion.bundle]
    if harm == "bytes":
        shop.bundles[champion.bundle] = (made, {**files, "model.onnx": files["model.onnx"][:-20]})
    if harm == "golden":
        shop.bundles[champion.bundle] = (made, {**files, "model.onnx": constant(0.5)})
    if harm == "gone":
        del shop.bundles[champion.bundle]
    if harm == "other case":
        shop.bundles[champion.bundle] = next(iter(shop.bundles.values()))
    if harm == "unsigned":
        shop.champions["fraud"] = type(champion)(**{**vars(champion), "signed": "nobody"})
    champions.look()
    assert score(champions)[0] == 0.25
    assert champions.troubles("fraud") == ("release",)
    assert champions.why("fraud")


def test_a_release_that_did_not_load_is_tried_again(shop, champions, monkeypatch):
    shop.promote("fraud", constant(0.25))
    shop.down.add("releases")
    champions.look()
    assert champions.unanswered == {"fraud"}
    shop.down.clear()
    champions.look()
    assert champions.unanswered == {"fraud"}
    monkeypatch.setattr(champions, "_retry_at", 0.0)
    champions.look()
    assert (score(champions)[0], champions.unanswered) == (0.25, frozenset())


def test_one_broken_release_takes_no_other_use_case_along(shop, champions):
    shop.promote("fraud", constant(0.25))
    broken = shop.promote("demand", model([1.0, 2.0, 3.0], 1))
    del shop.bundles[broken.bundle]
    champions.look()
    assert score(champions)[0] == 0.25
    assert "demand" not in champions.serving


def test_a_start_without_the_state_serves_what_answered_last(shop, champions):
    shop.promote("fraud", constant(0.25))
    champions.look()
    shop.down.add("state")
    again = shop.service().champions
    again.start()
    again.stop()
    assert score(again)[0] == 0.25
    assert again.troubles("fraud") == ("state",)


def test_what_answered_last_is_believed_only_with_its_signature(shop, champions):
    shop.promote("fraud", constant(0.25))
    champions.look()
    path = shop.folder / "serving.json"
    path.write_text(path.read_text().replace("signed ", "forged "))
    shop.down.add("state")
    again = shop.service().champions
    again.start()
    again.stop()
    assert again.serving == {}


def test_no_request_is_lost_or_mixed_while_releases_change(shop, open_client):
    """Constant models: the score says which bundle answered, and it must be the one that the answer names."""
    scores = {shop.promote("fraud", constant(n / 64)).bundle: n / 64 for n in (1, 2)}
    first, second = scores
    with open_client() as client:
        done = threading.Event()

        def swapping():
            for n in itertools.count():
                if done.is_set():
                    return
                shop.answer_with("fraud", (first, second)[n % 2], (second, first)[n % 2])
                client.service.champions.look()

        thread = threading.Thread(target=swapping)
        thread.start()
        answers, until = [], time.monotonic() + 20
        while len(answers) < 100 and time.monotonic() < until:
            answers.append(client.post("/v1/fraud", json={"asks": [ask(), ask(id="p-2")]}))
        done.set()
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    for body in (answer.json() for answer in answers):
        assert {one["score"] for one in body["answers"]} == {scores[body["bundle"]]}
    assert len({answer.json()["bundle"] for answer in answers}) == 2
    logged = [event.body["request_id"] for event in shop.predictions]
    assert sorted(set(logged)) == sorted(answer.json()["request"] for answer in answers)
    assert all(event.body["score"] == scores[event.body["bundle"]] for event in shop.predictions)


def test_the_watcher_picks_a_promotion_up_within_a_second(shop, open_client):
    shop.promote("fraud", constant(0.25))
    with open_client() as client:
        released = shop.promote("fraud", constant(0.75)).release
        until = time.monotonic() + 1
        while client.post("/v1/fraud", json={"asks": [ask()]}).json()["release"] != released:
            assert time.monotonic() < until


def test_a_linear_model_is_no_constant(shop, champions):
    shop.promote("fraud", linear([0.0001, 0.5]))
    champions.look()
    assert score(champions)[0] == 0.679

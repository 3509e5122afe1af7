"""A release that is bad live falls back to the one before it; what the world does to both does not count."""

import hashlib
import json
import math

import numpy as np
import pytest
from little_shop import NOW, ask, bundle, linear, model

from pipelines.core.event import Event
from pipelines.serving import swap, vigil
from pipelines.serving.vigil import Reference, Sample, Vigil, convict, distance, symptoms

EVEN = np.linspace(0, 1, 101)
GOOD = Reference(EVEN, 1.0)


def samples(scores, ms=1.0, same=False):
    asks = [Event("payment", f"p{n}", NOW, {"amount_cents": 1 if same else n}) for n in range(len(scores))]
    return [Sample([one], np.array([score]), ms) for one, score in zip(asks, scores, strict=True)]


def even(many):
    return np.random.default_rng(1).uniform(size=many)


def test_answers_like_those_in_validation_have_no_symptom():
    assert symptoms(samples(even(200)), GOOD) == {}
    assert symptoms([], GOOD) == {}


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (samples([*even(100), *[math.nan] * 5]), "no number"),
        (samples([*even(100), *[math.inf] * 5]), "no number"),
        (samples([0.5] * 100), "one score"),
        (samples(0.9 + even(200) / 10), "another scale"),
        (samples(even(100), ms=6.0), "slow"),
    ],
)
def test_each_bad_conduct_has_its_symptom(seen, name):
    assert name in symptoms(seen, GOOD)


@pytest.mark.parametrize(
    ("seen", "reference"),
    [
        (samples([*even(100), *[math.nan] * 4]), GOOD),
        (samples([0.5] * 20), GOOD),
        (samples([0.5] * 200, same=True), Reference(EVEN[:0], 1.0)),  # one ask again and again
        (samples([0.5] * 199, same=True), GOOD),
        (samples([0.0] * 199), Reference(np.r_[np.zeros(99), 0.5, 1.0], 1.0)),  # nearly all scored alike in validation too
        (samples([0.0] * 200), Reference(np.r_[np.zeros(99), 0.5, 1.0], 1.0)),
        (samples(even(100) / 1000), GOOD),  # too few for another scale
        (samples(even(100), ms=1.9), Reference(EVEN, 0.1)),  # nothing is slow below two milliseconds
    ],
)
def test_what_may_be_an_accident_is_no_symptom(seen, reference):
    assert symptoms(seen, reference) == {}


def test_the_distance_is_kolmogorov_and_smirnovs_and_ties_are_no_distance():
    scores = np.sort(even(500) ** 2)
    steps = np.arange(501) / 500
    exact = max(np.max(steps[1:] - scores), np.max(scores - steps[:-1]))
    assert distance(scores, EVEN) == pytest.approx(exact, abs=0.02)
    tied = np.repeat([0.1, 0.2, 0.7], [50, 31, 20])
    assert distance(np.repeat([0.1, 0.2, 0.7], [500, 310, 200]), tied) < 0.02


def test_quantiles_are_watched_by_their_middle_one():
    rows = np.column_stack([np.zeros(200), even(200), np.ones(200)])
    asks = [Event("listing", f"l{n}", NOW, {"item": n}) for n in range(200)]
    assert symptoms([Sample([a], rows[n : n + 1], 1.0) for n, a in enumerate(asks)], GOOD) == {}


class Told:
    """A release that says what it is told."""

    def __init__(self, scores, ms=1.0):
        self.reference, self.scores, self.ms = GOOD, scores, ms

    def again(self, asks):
        return Sample(asks, np.array([self.scores[int(asks[0].id[1:])]]), self.ms)


def test_the_release_before_acquits_what_the_world_has_done():
    low = even(200) / 100
    suspected = symptoms(seen := samples(low), GOOD)
    assert convict(seen, suspected, Told(low), Told(low)) == {}
    assert set(convict(seen, suspected, Told(low), Told(even(200)))) == {"another scale"}


def test_a_busy_machine_is_no_slow_release():
    suspected = symptoms(seen := samples(even(200), ms=20.0), GOOD)
    assert convict(seen, suspected, Told(even(200), 20.0), Told(even(200), 20.0)) == {}
    assert convict(seen, suspected, Told(even(200), 3.0), Told(even(200), 1.0)) == {}
    assert set(convict(seen, suspected, Told(even(200), 20.0), Told(even(200), 1.0))) == {"slow"}


def test_after_the_probation_only_what_is_no_number_counts(monkeypatch):
    monkeypatch.setattr(vigil, "PROBATION", 150)
    watched = Vigil("b", GOOD)
    for sample in samples([0.5] * 149):
        watched.note(sample)
    assert set(watched.suspicion()[1]) == {"one score"}
    for sample in samples([*[0.5] * 5, *[math.nan] * 5]):
        watched.note(sample)
    assert set(watched.suspicion()[1]) == {"no number"}
    watched.acquit()
    assert watched.suspicion() == ([], {})


# In a server


@pytest.fixture
def told():
    return []


@pytest.fixture
def champions(shop, told):
    def condemn(champion, why):
        told.append((champion.bundle, why))
        if "state" in shop.down:
            raise OSError("state is away")
        shop.rollback("fraud")

    made = shop.service().champions
    made._condemn = condemn
    shop.promote("fraud", linear([0.0001, 0.5]))
    made.look()
    return made


def live(champions, many=10):
    """Let the champion answer so many asks; the bundles and reasons that they name."""
    seen = []
    for _ in range(many):
        champion, loaded = champions.serving["fraud"]
        asks = loaded.asks.decode(b'{"asks": [%s]}' % json.dumps(ask()).encode(), 2**50)
        answered = loaded.answer(champion, asks, "r", 0)
        champions.note(champion, answered.sample)
        seen.append((champion.bundle, answered.reasons))
    return seen


def bad(shop, tag=""):
    """A bundle that answered its golden requests and has no number for anything larger."""
    from onnx import TensorProto, helper

    from pipelines.core.release import Bundle

    made, files = bundle("fraud", linear([0.0001, 0.5]), tag)
    constants = [helper.make_tensor(n, TensorProto.FLOAT, [1], [v]) for n, v in (("nan", math.nan), ("top", 100.0))]
    nodes = [
        helper.make_node("ReduceMax", ["x", "axis"], ["m"], keepdims=1), helper.make_node("Greater", ["m", "top"], ["live"]),
        helper.make_node("MatMul", ["x", "weights"], ["z"]), helper.make_node("Sigmoid", ["z"], ["good"]),
        helper.make_node("Where", ["live", "nan", "good"], ["y"]),
    ]  # fmt: skip
    constants += [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("weights", TensorProto.FLOAT, [2, 1], [1e-4, 0.5]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    files = {**files, "model.onnx": onnx}
    made = Bundle("fraud", {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, {"model": f"bad {tag}"})
    shop.bundles[made.digest] = (made, files)
    return shop.answer_with("fraud", made.digest, shop.champions["fraud"].bundle).bundle


def test_a_release_without_numbers_falls_and_the_registry_is_told_why(shop, champions, told):
    good, worse = shop.champions["fraud"].bundle, bad(shop)
    champions.look()
    assert {reasons for _, reasons in live(champions, vigil.BROKEN)} == {("score",)}
    champions.watch()
    assert told == [(worse, "5 of 5 answers had no finite score")]
    assert live(champions, 1) == [(good, ())]
    assert champions.serving["fraud"][0] == shop.champions["fraud"]


def test_a_good_release_stays(shop, champions, told):
    shop.promote("fraud", linear([0.0002, 0.5]))
    champions.look()
    live(champions, 50)
    champions.watch()
    assert told == []


def test_without_the_registry_the_one_before_answers_at_once_and_it_is_told_when_it_is_back(shop, champions, told, monkeypatch):
    good, worse = shop.champions["fraud"].bundle, bad(shop)
    champions.look()
    shop.down.add("state")
    live(champions, vigil.BROKEN)
    champions.watch()
    assert live(champions, 1) == [(good, ())]
    shop.down.clear()
    champions.look()  # the registry still names the bad one
    assert live(champions, 1) == [(good, ())]
    assert champions.troubles("fraud") == ("release",)
    assert "it was bad: 5 of 5" in champions.why("fraud")
    champions.watch()
    assert len(told) == 1  # not every time
    monkeypatch.setattr(swap, "RETRY", 0.0)
    champions.watch()
    assert told == [(worse, "5 of 5 answers had no finite score")] * 2
    assert (live(champions, 1), champions.troubles("fraud")) == ([(good, ())], ())


def test_the_first_release_has_no_way_back_and_goes_on_with_typical_scores(shop, told):
    service = shop.service()
    champions = service.champions
    champions._condemn = lambda champion, why: told.append(why)
    shop.champions["fraud"] = shop.promote("fraud", linear([0.0001, 0.5]))
    worse = bad(shop)
    shop.answer_with("fraud", worse, None)
    champions.look()
    live(champions, 9)
    champions.watch()
    assert len(told) == 1
    assert live(champions, 1) == [(worse, ("score",))]


def test_a_model_that_raises_is_answered_for_with_the_typical_score(shop, champions, monkeypatch):
    _, loaded = champions.serving["fraud"]

    def broken(columns):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(loaded.scorer, "score", broken)
    ((_, reasons),) = live(champions, 1)
    assert reasons == ("score",)


def test_a_promotion_that_follows_a_fall_is_served(shop, champions, told):
    bad(shop)
    champions.look()
    live(champions, vigil.BROKEN)
    champions.watch()
    mended = shop.promote("fraud", model([0.25], 2)).bundle
    champions.look()
    assert live(champions, 1) == [(mended, ())]

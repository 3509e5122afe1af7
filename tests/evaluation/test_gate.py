from dataclasses import replace

import numpy as np
import pytest

from pipelines.core.clock import DAY
from pipelines.core.errors import NotDecidable, ShelflifeError
from pipelines.evaluation.gate import judge, required
from pipelines.evaluation.paired import spend


def status(case, gate, evidence, seed=1):
    judgement = judge(case, gate, evidence, seed=seed)
    return judgement.verdict(case.name).status, {finding.name: finding for finding in judgement.findings}


def test_a_clearly_better_challenger_is_promoted(fraud, gate, shop, given):
    verdict, findings = status(fraud, gate, given(shop(1, noise=(0.2, 2.0))))
    assert verdict == "pass", findings
    assert findings["better: lower bound"].low > 0


def test_a_clearly_worse_challenger_is_rejected(fraud, gate, shop, given):
    verdict, findings = status(fraud, gate, given(shop(1, noise=(2.0, 0.2))))
    assert verdict == "fail"
    assert findings["better: upper bound"].status == "fail"


def test_an_equal_challenger_is_inconclusive_and_told_how_many_labels_would_decide(fraud, gate, shop, given):
    verdict, findings = status(fraud, gate, given(shop(3, noise=(0.5, 0.5))))
    assert verdict == "unsure"
    assert (findings["better: lower bound"].status, findings["better: upper bound"].status) == ("unsure", "pass")
    assert (
        "more labels beside the 3,000 would decide" in findings["better: lower bound"].advice
        or "too close" in findings["better: lower bound"].advice
    )


def test_an_equal_challenger_with_a_stated_reason_is_promoted_and_without_one_is_not(fraud, gate, shop, given):
    gate = replace(gate, inferior=0.03)
    equal = given(shop(3, noise=(0.3, 0.3), rows=6000))
    assert status(fraud, gate, equal)[0] == "unsure"
    assert status(fraud, gate, replace(equal, reasons=("fresher",)))[0] == "pass"


def test_a_reason_may_stand_in_the_parameters(fraud, gate, shop, given):
    equal = given(shop(3, noise=(0.3, 0.3), rows=6000))
    assert status(fraud, replace(gate, inferior=0.03, reasons=("fresher",)), equal)[0] == "pass"


def test_a_reason_that_the_figures_contradict_does_not_count(fraud, gate, shop, given):
    equal = given(shop(3, noise=(0.3, 0.3)), reasons=("smaller", "faster"))
    assert replace(equal, champion_size_mb=0.5, champion_latency_ms=9.0).upheld(cheaper=False) == ("faster",)
    assert equal.upheld(cheaper=False) == ()
    assert replace(equal, reasons=("cheaper",)).upheld(cheaper=True) == ("cheaper",)


def test_a_claim_to_be_smaller_that_is_not_true_promotes_nobody(fraud, gate, shop, given):
    gate = replace(gate, inferior=0.03)
    equal = given(shop(3, noise=(0.3, 0.3), rows=6000), reasons=("smaller",))
    assert status(fraud, gate, replace(equal, champion_size_mb=2.0))[0] == "pass"
    assert status(fraud, gate, replace(equal, champion_size_mb=0.5))[0] == "unsure"


def test_a_model_as_good_as_the_baseline_is_not_better_than_it(fraud, gate, shop, given):
    holdout = shop(5, noise=(0.8, 0.8))
    finding = status(fraud, gate, given(holdout, baseline=holdout.champion))[1]["better than the baseline"]
    assert finding.status == "unsure"
    assert finding.low < 0 < finding.high


def test_a_few_customers_are_no_evidence_however_many_rows_they_have(fraud, gate, shop, given):
    holdout = shop(1, noise=(0.2, 2.0))
    verdict, findings = status(fraud, gate, given(holdout, unit=np.arange(3000) % 12))
    assert verdict == "unsure"
    assert findings["floor"].status == findings["better: lower bound"].status == "unsure"


def test_an_unknown_reason_is_refused(shop, given):
    with pytest.raises(ShelflifeError, match="no reason 'nicer'"):
        given(shop(1), reasons=("nicer",)).upheld(cheaper=False)


def test_the_first_release_passes_without_a_champion(fraud, gate, shop, given):
    judgement = judge(fraud, gate, given(shop(1), champion=None), seed=1)
    assert judgement.verdict("fraud").status == "pass", judgement.verdict("fraud").why()
    assert not any("lower bound" in name or name == "churn" for name in judgement.required)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("dummy", ["constant", "random", "prior"])
def test_a_dummy_is_refused_with_or_without_a_champion(fraud, gate, shop, given, first, dummy):
    holdout = shop(4, noise=(0.3, 4.0))
    random = np.random.default_rng(9)
    scores = {
        "constant": np.full(3000, 0.5), "random": random.random(3000), "prior": np.full(3000, holdout.labels.mean())
    }[dummy]  # fmt: skip
    champion = None if first else holdout.champion
    generous = replace(gate, floor=-1.0)  # even where nobody set a floor
    assert status(fraud, generous, given(holdout, challenger=scores, champion=champion))[0] != "pass"
    assert status(fraud, gate, given(holdout, challenger=scores, champion=champion))[0] == "fail"


def test_the_names_required_come_from_the_declaration_and_are_exactly_those_found(fraud, demand, recommend, gate, shop, given):
    judgement = judge(fraud, gate, given(shop(1)), seed=1)
    assert sorted(f.name for f in judgement.findings) == sorted(required(fraud, gate, champion=True))
    assert "slice: country" in judgement.required
    assert "cost" not in required(recommend, gate, champion=True)
    assert "positives" not in required(demand, gate, champion=True)


BROKEN = {
    "no latency": {"latency_ms": None}, "no memory": {"memory_mb": None}, "no size": {"size_mb": None}, "no parity": {"parity": None}, "NaN latency": {"latency_ms": float("nan")},
    "no amounts": {"amounts": None}, "a spent holdout": {"looks": 5}, "an absent slice": {"slices": {}},
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_missing_evidence_is_never_a_pass(fraud, gate, shop, given, broken):
    better = given(shop(1, noise=(0.2, 2.0)))
    assert status(fraud, gate, better)[0] == "pass"
    assert status(fraud, gate, replace(better, **BROKEN[broken]))[0] != "pass"


def test_an_absent_slice_fails(fraud, gate, shop, given):
    assert status(fraud, gate, given(shop(1), slices={}))[1]["slice: country"].status == "fail"


@pytest.mark.parametrize("who", ["challenger", "champion", "baseline"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_score_that_is_no_number_is_never_a_pass(fraud, gate, shop, given, who, bad):
    holdout = shop(1, noise=(0.2, 2.0))
    scores = getattr(holdout, who).copy()
    scores[7] = bad
    assert status(fraud, gate, given(holdout, **{who: scores}))[0] != "pass"


@pytest.mark.parametrize("rows", [0, 1, 2, 30])
def test_a_handful_of_rows_is_never_a_pass(fraud, gate, shop, given, rows):
    holdout = shop(1, noise=(0.2, 2.0))
    few = np.arange(rows)
    cut = {
        name: getattr(holdout, name)[few] for name in ("labels", "unit", "challenger", "champion", "baseline", "amounts", "ts")
    }
    verdict, findings = status(fraud, gate, given(holdout, **cut, slices={"country": holdout.country[few]}))
    assert verdict != "pass"
    assert findings["rows"].status == "unsure"


def test_too_few_positives_are_never_a_pass(fraud, gate, shop, given):
    holdout = shop(1, noise=(0.2, 2.0))
    labels = holdout.labels.copy()
    labels[np.flatnonzero(labels)[20:]] = np.nan  # not known yet
    verdict, findings = status(fraud, gate, given(holdout, labels=labels))
    assert verdict != "pass"
    assert findings["positives"].status == "unsure"


def test_a_harmed_slice_fails_although_the_whole_is_better(fraud, gate, shop, given):
    holdout = shop(1, noise=(0.2, 2.0), rows=6000)
    us = holdout.country == "US"
    holdout.challenger[us] = np.random.default_rng(1).random(us.sum())
    holdout.champion[us] = shop(1, noise=(0.2, 0.2), rows=6000).champion[us]
    finding = status(fraud, gate, given(holdout))[1]["slice: country"]
    assert finding.status == "fail"
    assert "provably harmed: US" in finding.advice


def test_parts_too_few_to_be_sure_of_are_judged_together(fraud, gate, shop, given):
    """Thirty-six countries of eighty rows each: of none can one be sure alone, and nobody is left out for that."""
    holdout = shop(1, noise=(0.2, 2.0), rows=6000)
    few = holdout.country != "DE"
    holdout.country = holdout.country.astype("<U8")
    holdout.country[few] = [f"C{n % 36}" for n in range(few.sum())]
    small = {"slices": {"country": holdout.country}}
    ample = replace(gate, min_positives=30)
    assert status(fraud, ample, given(holdout, **small))[1]["slice: country"].status == "pass"
    holdout.challenger[few] = np.random.default_rng(1).random(few.sum())
    finding = status(fraud, ample, given(holdout, **small))[1]["slice: country"]
    assert finding.status == "fail"
    assert "provably harmed: those together that are too few to be sure of alone" in finding.advice


def test_a_small_part_that_is_provably_harmed_fails_alone(fraud, gate, shop, given):
    """Forty positives are too few to be sure where a hundred are wanted, and enough to prove that every one is missed."""
    holdout = shop(1, noise=(0.2, 2.0), rows=6000)
    us = np.flatnonzero(holdout.country == "US")[:300]
    holdout.country = np.where(np.isin(np.arange(6000), us), "US", "DE")
    ample = replace(gate, min_positives=100)
    assert status(fraud, ample, given(holdout))[1]["slice: country"].status == "pass"
    holdout.champion[us] = np.clip(holdout.labels[us] * 0.9 + 0.05, 0, 1)
    holdout.challenger[us] = np.clip(0.9 - holdout.labels[us] * 0.85, 0, 1)
    finding = status(fraud, ample, given(holdout))[1]["slice: country"]
    assert finding.status == "fail"
    assert "provably harmed: US" in finding.advice


def test_probabilities_that_lie_fail_the_calibration(fraud, gate, shop, given):
    holdout = shop(1, noise=(0.2, 2.0))
    verdict, findings = status(fraud, gate, given(holdout, challenger=holdout.challenger**0.3))
    assert verdict == "fail"
    assert findings["calibration"].status == "fail"


def test_a_limit_that_the_champion_misses_by_more_stops_no_proven_gain(fraud, gate, shop, given):
    holdout = shop(1, noise=(0.2, 2.0))
    demanding = replace(gate, floor=0.99, calibration=1e-6)
    worse = given(holdout, challenger=holdout.challenger**0.8, champion=holdout.champion**0.3)
    verdict, findings = status(fraud, demanding, worse)
    assert (verdict, findings["floor"].status, findings["calibration"].status) == ("pass", "pass", "pass")
    alone = status(fraud, demanding, replace(worse, champion=None))[1]
    assert (alone["floor"].status, alone["calibration"].status) == ("fail", "fail")


def test_many_changed_answers_need_a_proven_gain(fraud, gate, shop, given):
    equal = given(shop(3, noise=(1.0, 1.0)))
    strict = replace(gate, churn=0.01, inferior=0.05)
    assert status(fraud, strict, equal)[1]["churn"].status == "unsure"
    assert status(fraud, strict, replace(equal, reasons=("fresher",)))[1]["churn"].status == "fail"
    assert status(fraud, strict, given(shop(1, noise=(0.2, 2.0))))[1]["churn"].status == "pass"


def test_each_later_look_asks_for_more(fraud, gate, shop, given):
    better = given(shop(1, noise=(0.2, 2.0)))
    first, third = (judge(fraud, gate, replace(better, looks=n), seed=1).findings for n in (0, 2))
    low = [next(f.low for f in found if f.name == "better: lower bound") for found in (first, third)]
    assert low[1] < low[0]
    assert spend(gate.confidence, 2) == pytest.approx(spend(gate.confidence, 0) / 4)


def test_the_same_evidence_gives_the_same_judgement(fraud, gate, shop, given):
    assert judge(fraud, gate, given(shop(1)), seed=1) == judge(fraud, gate, given(shop(1)), seed=1)


def test_scores_of_other_rows_are_refused(fraud, gate, shop, given):
    holdout = shop(1)
    with pytest.raises(ShelflifeError, match="wanted 3000 rows of everything"):
        judge(fraud, gate, given(holdout, champion=holdout.champion[1:]), seed=1)


def test_scores_of_another_shape_are_refused(fraud, gate, shop, given):
    holdout = shop(1)
    with pytest.raises(ShelflifeError, match="wanted one score a row"):
        judge(fraud, gate, given(holdout, challenger=holdout.challenger[:, None]), seed=1)


def test_rows_whose_label_is_not_known_yet_change_nothing(fraud, gate, shop, given):
    holdout = shop(1, noise=(0.3, 1.0))
    known = np.arange(3000) < 2500
    names = ("labels", "unit", "challenger", "champion", "baseline", "amounts", "ts")
    cut = given(holdout, **{name: getattr(holdout, name)[known] for name in names}, slices={"country": holdout.country[known]})
    unknown = given(holdout, labels=np.where(known, holdout.labels, np.nan))
    assert judge(fraud, gate, unknown, seed=1) == judge(fraud, gate, cut, seed=1)


@pytest.mark.parametrize("who", ["challenger", "baseline"])
def test_nobody_is_judged_without_scores(fraud, gate, shop, given, who):
    with pytest.raises(NotDecidable):
        judge(fraud, gate, given(shop(1), **{who: None}), seed=1)


def test_a_slice_value_from_outside_is_never_echoed_as_markup_or_at_length(fraud, gate, shop, given):
    holdout = shop(1)
    country = np.where(holdout.country == "DE", "\u202e" + "x" * 500, holdout.country).astype(object)
    advice = status(fraud, gate, given(holdout, slices={"country": country}))[1]["slice: country"].advice
    assert advice.isascii()
    assert len(advice) < 120


def forecasts(seed, rows=2000, bias=(0.0, 0.0), levels=(0.1, 0.5, 0.75, 0.9)):
    """Poisson sales, and their true quantiles moved by a bias (in shares)."""
    from scipy.stats import poisson

    random = np.random.default_rng(seed)
    mean = random.gamma(4, 3, rows)
    quantiles = np.stack([poisson.ppf(level, mean) for level in levels], axis=1)
    everybody = np.stack([np.full(rows, poisson.ppf(level, mean.mean())) for level in levels], axis=1)
    return {
        "labels": random.poisson(mean) * 1.0, "unit": np.arange(rows) % 150, "challenger": quantiles * (1 + bias[0]), "baseline": everybody,
        "champion": quantiles * (1 + bias[1]), "amounts": np.full(rows, 1000.0), "slices": {},
        "ts": np.arange(rows) % 10 * DAY,
    }  # fmt: skip


def test_a_forecast_is_judged_on_its_quantiles(demand, gate, shop, given):
    gate = replace(gate, floor=-10.0, churn=0.9)
    better = given(shop(1), **forecasts(1, bias=(0.0, 0.4)))
    assert status(demand, gate, better)[0] == "pass", status(demand, gate, better)[1]
    assert status(demand, gate, given(shop(1), **forecasts(1, bias=(0.4, 0.0))))[0] == "fail"
    assert status(demand, gate, replace(better, challenger=better.baseline))[0] == "fail"


def candidates(seed, asks=900, each=40, skill=(2.0, 0.5)):
    """Asks with candidates; the wanted one stands out by the skill of challenger and champion."""
    random = np.random.default_rng(seed)
    wanted = np.zeros((asks, each))
    wanted[np.arange(asks), random.integers(0, each, asks)] = random.random(asks) < 0.8
    scores = [(wanted * s + random.normal(size=wanted.shape)).ravel() for s in skill]
    ask = np.repeat(np.arange(asks), each)
    return {
        "labels": wanted.ravel(), "unit": ask // 2, "ask": ask, "challenger": scores[0], "champion": scores[1],
        "baseline": (wanted * 0.2 + random.normal(size=wanted.shape)).ravel(), "amounts": None, "slices": {}, "ts": ask % 10 * DAY,
    }  # fmt: skip


def test_a_ranking_is_judged_by_its_asks(recommend, gate, shop, given):
    gate = replace(gate, floor=0.02, churn=0.9)
    better = given(shop(1), **candidates(1))
    verdict, findings = status(recommend, gate, better)
    assert verdict == "pass", findings
    assert findings["rows"].observed == 900
    assert status(recommend, gate, replace(better, challenger=np.zeros(900 * 40)))[0] == "fail"
    assert status(recommend, gate, replace(better, challenger=better.champion, champion=better.challenger))[0] == "fail"


def test_items_that_are_not_on_a_models_own_list_rank_below_all_that_are(recommend, gate, shop, given):
    gate = replace(gate, floor=0.02, churn=0.9)
    made = candidates(1)
    unlisted = np.arange(900 * 40) % 40 >= 35
    for who in ("challenger", "champion"):
        made[who] = np.where(unlisted & (made["labels"] == 0), -np.inf, made[who])
    verdict, findings = status(recommend, gate, given(shop(1), **made))
    assert verdict == "pass", findings
    made["challenger"][3] = np.inf
    assert status(recommend, gate, given(shop(1), **made))[0] != "pass"
    none_listed = {**made, "challenger": np.full(900 * 40, -np.inf)}
    assert status(recommend, gate, given(shop(1), **none_listed))[0] == "fail"


def test_a_ranking_without_its_asks_is_refused(recommend, gate, shop, given):
    with pytest.raises(ShelflifeError, match="wanted the ask"):
        judge(recommend, gate, given(shop(1), **candidates(1) | {"ask": None}), seed=1)

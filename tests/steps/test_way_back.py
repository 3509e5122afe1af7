"""A release that answered before and would answer better is named, with the rollbacks that lead to it, in one mail."""

from dataclasses import replace

from test_serve import NOW, WORKSPACE, home  # noqa: F401  home is a fixture

from pipelines.core.clock import DAY
from pipelines.core.verdict import Finding
from pipelines.steps import alarms

CASE = "fraud"


def test_the_mail_names_the_way_back_only_where_one_would_surely_do_better():
    sure = Finding("1 release back: average_precision", "unsure", 0.1, "a gain", -0.1, 0.3, 0.95)
    better = Finding("2 releases back: average_precision", "pass", 0.2, "a gain", 0.1, 0.3, 0.95)
    assert alarms.way_back(CASE, {}) == []
    assert alarms.way_back(CASE, {"1 release back": sure}) == []
    (words,) = alarms.way_back(CASE, {"1 release back": sure, "2 releases back": better})
    assert "2 releases back: average_precision" in words
    assert words.endswith("To let it answer: shelflife rollback fraud, 2 times.")


def test_a_release_before_that_does_better_is_one_mail_until_none_does(home):  # noqa: F811
    watch = WORKSPACE.params.block(CASE).monitor
    does = Finding("1 release back: saving", "pass", 20.0, "better", 5.0, 40.0, 0.6)
    formers = [does, does, replace(does, status="unsure", low=-1.0), replace(does, status="unsure", low=None, high=None)]
    for day, found in enumerate([*formers, *formers[2:3] * 2]):
        alarms.raise_back(home, CASE, watch, {"1 release back": found}, NOW + day * DAY, NOW + day * DAY)
        home.decisions.record("look", CASE, NOW + day * DAY, {"findings": [], "formers": [vars(found)]})
        subjects = [mail.subject for mail in home.outbox.waiting()]
        assert subjects == ["[shelflife] fraud: a release before does better"] + (
            ["[shelflife] fraud: well again"] if day == 5 else []
        )
    assert "shelflife rollback fraud." in home.outbox.waiting()[0].text

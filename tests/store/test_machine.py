"""Whatever is done in whatever order, kills, rivals and tampering included, the invariants of releases hold; seeded bugs are found."""

import time

import pytest
from goods import taking
from machine import run
from mutants import MUTANTS

WITHIN = 10.0
"""Seconds of CPU in which each seeded bug must be found."""


@pytest.fixture(scope="module")
def taken():
    return []


@pytest.fixture(scope="module")
def post(taken):
    """A mail server that takes everything."""
    with taking(taken) as mail:
        yield mail


def test_the_invariants_of_releases_hold_in_any_order(empty_home, post, taken):
    run(empty_home, post, taken, 8, 12)


@pytest.mark.slow
def test_the_invariants_of_releases_hold_in_any_order_for_long(empty_home, post, taken):
    run(empty_home, post, taken, 60, 25)


def found_within(empty_home, post, taken):
    """Seconds of CPU until the machine complains."""
    began = time.process_time()
    with pytest.raises(BaseException) as complaint:  # an assertion, or an error that the store itself raises
        run(empty_home, post, taken, 60, 15)
    assert not isinstance(complaint.value, KeyboardInterrupt)
    return time.process_time() - began


@pytest.mark.parametrize("name", list(MUTANTS)[::9])
def test_some_seeded_bugs_are_found(empty_home, post, taken, monkeypatch, name):
    monkeypatch.setattr(*MUTANTS[name])
    assert found_within(empty_home, post, taken) < WITHIN


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_each_seeded_bug_is_found(empty_home, post, taken, monkeypatch, name):
    monkeypatch.setattr(*MUTANTS[name])
    assert found_within(empty_home, post, taken) < WITHIN

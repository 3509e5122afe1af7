"""Whatever is done in whatever order, kills, rivals and tampering included, the invariants of releases hold; seeded bugs are found."""

import pytest
from goods import taking
from machine import run
from mutants import MUTANTS


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


def is_found(empty_home, post, taken):
    """The machine complains of the bug within sixty histories of fifteen steps."""
    with pytest.raises(BaseException) as complaint:  # an assertion, or an error that the store itself raises
        run(empty_home, post, taken, 60, 15)
    assert not isinstance(complaint.value, KeyboardInterrupt)


@pytest.mark.parametrize("name", list(MUTANTS)[::9])
def test_some_seeded_bugs_are_found(empty_home, post, taken, monkeypatch, name):
    monkeypatch.setattr(*MUTANTS[name])
    is_found(empty_home, post, taken)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_each_seeded_bug_is_found(empty_home, post, taken, monkeypatch, name):
    monkeypatch.setattr(*MUTANTS[name])
    is_found(empty_home, post, taken)

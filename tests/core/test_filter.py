import pytest

from pipelines.core.filter import EVERY, Filter, equal, field

BODIES = [{"cents": cents, "land": land} for cents in (None, -5, 0, 7) for land in (None, "DE", "中国")]


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        (EVERY, lambda cents, land: True),
        (field("land") == "DE", lambda cents, land: land == "DE"),
        (field("land") != "DE", lambda cents, land: land != "DE"),
        (field("land") == None, lambda cents, land: land is None),  # noqa: E711  a missing value can be asked for
        (field("land").among("中国", None), lambda cents, land: land != "DE"),
        (field("cents") > 0, lambda cents, land: cents == 7),
        (field("cents") >= 0, lambda cents, land: cents in (0, 7)),
        (~(field("cents") >= 0), lambda cents, land: cents in (None, -5)),
        ((field("cents") < 0) | (field("land") == "DE"), lambda cents, land: cents == -5 or land == "DE"),
        ((field("cents") <= 0) & (field("land") == "DE") & EVERY, lambda cents, land: cents in (0, -5) and land == "DE"),
    ],
)
def test_a_filter_keeps_what_it_says_and_survives_its_json(where, kept):
    assert [where.test()(body) for body in BODIES] == [kept(**body) for body in BODIES]
    assert Filter.from_list(where.to_list()) == where


def test_a_filter_says_itself():
    where = (field("land").among("DE", None) | ~(field("cents") > 100)) & (field("gift") == True)  # noqa: E712
    assert str(where) == "(land DE or missing or (not (cents over 100))) and gift True"


def test_equalities_are_written_as_pairs():
    assert equal((("land", "DE"), ("cents", 3))).to_list() == [["land", "DE"], ["cents", 3]]
    assert Filter.from_list([["land", "DE"]]) == equal((("land", "DE"),))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Filter("like", ("land", "D%")),
        lambda: equal((("land", ["DE"]),)),
        lambda: Filter("and", ("land",)),
        lambda: Filter("not", ()),
        lambda: Filter("in", ("land",)),
        lambda: Filter.from_list(["exec", "x", "y"]),
    ],
)
def test_what_is_not_in_the_language_is_refused(make):
    with pytest.raises(ValueError, match="plain values"):
        make()


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (field("city") == "x", "no field city"),
        (field("land") > 3, "land is a string"),
        (field("land") == 3, "wanted a text"),
        (field("cents") == True, "wanted a number"),  # noqa: E712
        (field("tags") == "x", "not be filtered by"),
        (field("cents") > 3, None),
    ],
)
def test_a_filter_that_cannot_be_asked_of_the_fields_says_why(where, says):
    problem = where.problem({"land": "string", "cents": "cents", "tags": "strings"})
    assert problem is None if says is None else says in problem

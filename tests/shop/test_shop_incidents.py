"""Incidents: small values that say themselves."""

import pytest

from pipelines.core.errors import ShelflifeError
from pipelines.shop.incidents import MAKERS, Incident, label_outage, late_partition, null_column, unit_bug


@pytest.mark.parametrize("name", MAKERS)
def test_every_incident_says_itself_and_survives_being_written_down(name):
    incident = MAKERS[name](3)
    assert str(incident).startswith(f"{name}, day")
    assert "{" not in str(incident)
    assert Incident.from_dict(incident.to_dict()) == incident
    assert Incident.from_dict({"name": name, "first_day": 3}) == incident


def test_an_incident_reads_as_a_sentence():
    assert str(unit_bug(12, 2)) == "unit_bug, days 12 to 13: amount_cents of every payment is sent 100 times too large"
    assert str(late_partition(5)) == "late_partition, day 5: every purchase arrives 3 days late"


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Incident("flood", 1, 1), "no incident"),
        (lambda: unit_bug(-1), "first day"),
        (lambda: unit_bug(1, 0), "1 day or more"),
        (lambda: unit_bug(1, kind="prediction"), "wanted a feed"),
        (lambda: null_column(1, field="colour"), "no field"),
        (lambda: label_outage(1, 31), "at most 30"),
        (lambda: Incident.from_dict({"name": "unit_bug", "first_day": 1, "colour": 3}), "wanted an incident"),
    ],
)
def test_an_incident_that_makes_no_sense_is_refused_in_words(make, word):
    with pytest.raises(ShelflifeError, match=word):
        make()

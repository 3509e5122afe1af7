"""The client of Airflow's REST API: patient with a busy server, plain about one that is gone."""

import pytest

from pipelines.core.errors import ShelflifeError
from pipelines.steps.airflow_api import AirflowApi, Unanswered

NOWHERE = "http://127.0.0.1:9"


def test_a_server_that_is_too_busy_to_answer_is_asked_again():
    answers = iter([Unanswered("busy"), None, "seen"])

    def look():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert AirflowApi(NOWHERE, "a", "b").until(look, 5, lambda: "it is seen", pause=0) == "seen"


def test_a_server_that_never_answers_is_said_when_the_time_is_over():
    api = AirflowApi(NOWHERE, "a", "b", patience=1)
    with pytest.raises(Unanswered, match="does not answer at"):
        api.until(lambda: api.run("learn", "x"), 0, lambda: "the run ended", pause=0)


def test_what_is_never_seen_is_said_when_the_time_is_over():
    with pytest.raises(ShelflifeError, match="waited 0 s in vain until the run ended"):
        AirflowApi(NOWHERE, "a", "b").until(lambda: None, 0, lambda: "the run ended", pause=0)


def test_a_no_is_not_asked_again():
    def look():
        raise ShelflifeError("Airflow said 403")

    with pytest.raises(ShelflifeError, match="403"):
        AirflowApi(NOWHERE, "a", "b").until(look, 5, lambda: "the run ended")

from hypothesis import given
from hypothesis import strategies as st

from pipelines.reports.plain import defused, plain, plain_data


@given(st.text())
def test_plain_text_holds_no_markup_and_no_control_and_stays_plain(text):
    made = plain(text)
    assert not set(made) & set("<>&\x00\n\r\u2028\u202e")
    assert plain(made) == made
    assert len(made) <= 300


def test_words_that_are_no_markup_stay_as_they_are():
    assert plain("价格 'a' \"b\" é 5%") == "价格 'a' \"b\" é 5%"


def test_data_keeps_its_shape_and_its_numbers_but_for_those_that_json_lacks():
    data = {"a": [1, 2.5, float("nan"), None, True], "<b>": {"c": (float("inf"),)}}
    assert plain_data(data) == {"a": [1, 2.5, None, None, True], "\u2039b\u203a": {"c": [None]}}


def test_evidentlys_own_tags_stay_and_all_others_are_defused():
    assert defused({"t": "<b>x</b><br><extra></extra>"}) == {"t": "<b>x</b><br><extra></extra>"}
    assert "<" not in defused({"<img src=x>": ["</script>", "<b onclick=x>", "<B>"]}.__repr__())

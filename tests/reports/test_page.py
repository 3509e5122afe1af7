import pytest

from pipelines.core.errors import ShelflifeError
from pipelines.core.verdict import Finding, Verdict
from pipelines.reports import page, picture

WORDS = {"passed": "Yes.", "failed": "No.", "unsure": "Not now."}


def test_the_first_words_are_the_answer(good):
    verdict = Verdict("fraud", tuple(good), tuple(f.name for f in good))
    assert page.answer(verdict, **WORDS)[0] == "Yes."
    assert page.answer(Verdict("fraud", (), ("better",)), **WORDS)[:3] == [
        "Not now.",
        "0 things were looked at, 0 did not pass.",
        "Missing: better.",
    ]


def test_what_did_not_pass_comes_first_in_the_words_and_in_the_table(good):
    bad = Finding("size", "fail", 40.0, "at most 20 MB")
    verdict = Verdict("fraud", (*good, bad), ("size", *(f.name for f in good)))
    words = page.answer(verdict, **WORDS)
    assert words[0] == "No."
    assert words[2].startswith("FAILED: size: 40")
    table = page.findings_table(verdict)
    assert table.index("size") < table.index("better")


def test_a_finding_that_is_missing_has_a_row_of_its_own(good):
    assert "this finding is missing" in page.findings_table(Verdict("fraud", tuple(good), ("cost", *(f.name for f in good))))


def test_a_summary_says_the_same_in_html_and_in_text():
    made = page.summary(
        "fraud: model drifting",
        {"What moved": ["spend_7d by 0.4"], "What it costs": []},
        {"open": "http://127.0.0.1:8080/x?a=1&b=2"},
    )
    assert made.text == "fraud: model drifting\n\nWhat moved:\n- spend_7d by 0.4\n\nopen: http://127.0.0.1:8080/x?a=1&b=2\n"
    assert "spend_7d by 0.4" in made.html
    assert "What it costs" not in made.html + made.text
    assert 'href="http://127.0.0.1:8080/x?a=1&amp;b=2"' in made.html


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//x", "http://a b", 'http://x/"onclick=1', "file:///etc", ""]
)
def test_a_link_that_is_not_http_is_refused(url):
    with pytest.raises(ShelflifeError, match="http"):
        page.summary("t", {}, {"open": url})


def test_words_from_outside_are_no_markup_on_the_page_in_the_mail_or_in_the_picture(payload, nodes):
    finding = Finding(payload, "fail", payload, payload, advice=payload)
    line = picture.Line(payload, 1.0, 0.0)
    verdict = Verdict(payload, (finding,), (payload,), {payload: [payload, {payload: payload}]})
    drawn = picture.draw([line], payload)
    first = page.first_page(verdict, page.answer(verdict, **WORDS), drawn, payload)
    for html in (
        page.document(payload, first),
        page.summary(payload, {payload: [payload]}, {payload: "http://x/"}, drawn).html,
    ):
        found = nodes(html)
        assert not found.scripts
        assert not found.handlers
        assert not found.tags & {"iframe", "img", "form", "base", "math", "object", "details", "b"}
        assert html.count("<style>") == 1


def test_the_text_of_a_mail_has_no_line_of_its_own_from_outside():
    made = page.summary("t\r\nBcc: x", {"a\nb": ["c\r\n.\r\nd"]}, {})
    assert made.text == "t  Bcc: x\n\na b:\n- c  .  d\n"


def test_the_picture_has_a_row_a_number_and_nothing_without_numbers(good):
    rows = picture.lines(good)
    assert [row.label for row in rows] == ["better", "floor", "rows"]
    assert picture.draw(rows, "t").count("<circle") == 3
    assert picture.draw([], "t") == ""


def test_a_gain_is_green_red_or_amber_by_its_bounds():
    figures = {
        "a": {"gain": 0.2, "low": 0.1, "high": 0.3}, "b": {"gain": -0.2, "low": -0.3, "high": -0.1},
        "c": {"gain": 0.0, "low": -0.1, "high": 0.1}, "d": {"gain": None, "low": None, "high": None}, "e": {"gain": 0.1},
    }  # fmt: skip
    assert [row.status for row in picture.gains(figures)] == ["pass", "fail", "unsure", "unsure"]

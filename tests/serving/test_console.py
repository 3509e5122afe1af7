import re
from html.parser import HTMLParser

import pytest
from little_shop import ask, linear, model

from pipelines.serving import console

EVIL = '<script>alert(1)</script><img src=x onerror="alert(1)">'


class Elements(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes


@pytest.fixture
def opened(shop, open_client):
    shop.promote("fraud", linear([0.0001, 0.5]))
    shop.promote("demand", model([1.0, 2.0, 3.0], 1))
    with open_client(private=True, story=lambda case: story(shop, case)) as client:
        yield client


def story(shop, case):
    if "state" in shop.down:
        raise OSError("the state is away")
    return {
        "why": f"{case} passes. {EVIL}",
        "decisions": [{"at": shop.now, "kind": "promote", "text": EVIL}],
        "facts": {EVIL: EVIL},
    }


def test_the_page_says_what_answers_since_when_and_why(shop, opened):
    page = opened.get("/console").text
    for champion in shop.champions.values():
        assert champion.release in page
        assert champion.verdict in page
    assert "2025-03-01T12:00:00Z" in page
    assert "fraud passes." in page
    assert "no release yet" in page
    assert "all well" in page


def test_nothing_from_outside_becomes_markup(opened):
    found = Elements(opened.get("/console").text)
    assert not {"script", "img", "iframe", "form", "a", "link"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("style", "src", "href")]


def test_the_page_may_load_its_own_style_and_nothing_else(opened):
    response = opened.get("/console")
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    assert style == console.STYLE
    assert response.headers["content-security-policy"] == console.POLICY
    assert "unsafe" not in console.POLICY


def test_recent_scores_are_drawn(opened):
    for n in range(10):
        opened.post("/v1/fraud", json={"asks": [ask(id=f"p{n}", amount_cents=1 + 1000 * n)]})
        opened.post("/v1/demand", json={"asks": [{"id": f"d{n}", "item": "i", "price_cents": 5}]})
    page = opened.get("/console").text
    assert page.count("<polyline") == 2
    assert "scores from 0.562 to" in page
    assert "milliseconds from" in page


def test_a_change_of_release_is_marked():
    seen = [console.Seen(n, 0.5, 1.0, "a" if n < 3 else "b") for n in range(5)]
    assert console._changes(seen) == [0.75]


def test_the_page_stands_while_the_state_is_away(shop, opened):
    shop.down.add("state")
    response = opened.get("/console")
    assert response.status_code == 200
    assert "degraded: state away" in response.text

"""Findings of every kind, and payloads that would be markup if anybody took them for it."""

from html.parser import HTMLParser

import pytest

from pipelines.core.verdict import Finding, judged

# ruff: noqa: RUF001
PAYLOADS = (
    "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "'\"><script>alert(1)</script>",
    "<a href=javascript:alert(1)>x</a>", "javascript:alert(1)", "<iframe srcdoc='<script>alert(1)</script>'>", "<!--<script>",
    "-->", "]]><script>alert(1)</script>", "<math><mi xlink:href=javascript:alert(1)>", "{{7*7}}${7*7}", "<style>@import'//x'</style>",
    "<meta http-equiv=refresh content=0;url=//x>", "<base href=//x>", "<form action=//x><input name=a>", "\u2028<script>\u2029", "\x00<script\x00>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>", "&lt;script&gt;alert(1)&lt;/script&gt;", "<b onmouseover=alert(1)>b</b>", "\u202e<gnp>",
    "<details open ontoggle=alert(1)>", "%3Cscript%3E", "＜script＞alert(1)＜/script＞",
)  # fmt: skip


def findings():
    return [
        judged("better", 0.02, "above 0", passes_if="low > 0.0", fails_unless="high >= 0.0", low=0.01, high=0.03, sure=0.95),
        judged("floor", 0.8, "at least 0.6", passes_if="observed >= 0.6", fails_unless="observed >= 0.6"),
        judged("rows", 700.0, "at least 500", passes_if="observed >= 500"),
        Finding("parity", "pass", 1e-7, "at most 1e-5"),
        Finding("newest", "pass", "2025-01-01T00:00:00Z", "young"),
    ]


class Nodes(HTMLParser):
    """What would run, load or send: the scripts' texts, handlers, and addresses of elements."""

    def __init__(self):
        super().__init__()
        self.scripts, self.handlers, self.tags, self.policy = [], [], set(), ""
        self.inside = False

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.scripts += [[dict(attrs), ""]] if tag == "script" else []
        self.inside = tag == "script"
        self.handlers += [
            (tag, name, value)
            for name, value in attrs
            if name.startswith("on") or name in ("src", "srcdoc", "action", "xlink:href")
        ]
        self.handlers += [
            (tag, name, value) for name, value in attrs if name == "href" and not value.startswith(("http://", "https://"))
        ]
        if tag == "meta" and ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"]
        elif tag == "meta" and "http-equiv" in dict(attrs):
            self.handlers.append((tag, "http-equiv", str(attrs)))

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1][1] += data

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "script"

    @staticmethod
    def of(html):
        nodes = Nodes()
        nodes.feed(html)
        nodes.close()
        return nodes


@pytest.fixture
def nodes():
    return Nodes.of


@pytest.fixture
def good():
    return findings()


@pytest.fixture(params=PAYLOADS)
def payload(request):
    return request.param


@pytest.fixture
def payloads():
    return PAYLOADS

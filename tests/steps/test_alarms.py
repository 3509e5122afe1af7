"""The mails of the watch: one a cause, with what it costs and how often such alarms were right; over, snoozed, and never markup."""

import email
import email.policy
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from pipelines.core.clock import DAY, days
from pipelines.core.params import Mail, Monitor
from pipelines.core.verdict import Finding
from pipelines.evaluation.controller import Entry
from pipelines.evaluation.triage import Diagnosis
from pipelines.steps import alarms
from pipelines.steps.looking import Seen
from pipelines.steps.outcomes import Money
from pipelines.store.home import Home
from pipelines.store.outbox import message

MONITOR = Monitor(window=days(7), reference=days(56), min_rows=300, drop=0.1, drift=0.15)
FELL = Finding("performance: roc_auc", "fail", 0.2, "fallen by less than 0.1", 0.12, 0.28, 0.95)
WELL = Finding("performance: roc_auc", "pass", 0.01, "fallen by less than 0.1")
BROKEN = Finding("quality: payment null share", "fail", 0.3, "at most 0.05 above the past", advice="country: 30% nulls")


@pytest.fixture
def home(tmp_path):
    opened = Home.open(tmp_path / "home", create=True)
    yield opened
    opened.close()


def look(home, day, kind, finding=FELL, *, money=None, broken=None):
    """A look on that day and what the mails make of it, recorded as the monitor does."""
    at = day * DAY
    diagnosis = Diagnosis(kind, (finding.sentence(),))
    seen = Seen(at, [finding], money=money, broken_days=broken or {})
    said = alarms.raise_alarms(home, "fraud", MONITOR, diagnosis, seen, ["The champion keeps answering."], at, "EUR")
    body = {
        "diagnosis": diagnosis.to_dict(),
        "findings": [vars(finding)],
        "broken_days": {k: list(v) for k, v in (broken or {}).items()},
    }
    home.decisions.record("look", "fraud", at, body)
    return said


def subjects(home):
    return [letter.subject.removeprefix("[shelflife] fraud: ") for letter in home.outbox.waiting()]


def test_one_cause_is_one_mail_and_its_end_is_another(home):
    for day in (1, 2, 3):
        look(home, day, "concept change")
    assert subjects(home) == ["model drifting"]
    look(home, 4, "harmful shift")
    look(home, 5, "quiet", WELL)
    assert subjects(home) == ["model drifting"]
    look(home, 6, "quiet", WELL)
    look(home, 7, "quiet", WELL)
    assert subjects(home) == ["model drifting", "well again"]
    look(home, 8, "concept change")
    assert subjects(home) == ["model drifting", "well again", "model drifting"]


def test_the_same_look_again_writes_nothing_new(home):
    for _ in range(3):
        look(home, 1, "concept change")
    assert subjects(home) == ["model drifting"]


def test_what_needs_nobody_writes_to_nobody(home):
    for day, kind in enumerate(("quiet", "harmless shift", "cannot decide"), 1):
        assert look(home, day, kind, WELL) == ""
    assert subjects(home) == []


def test_the_mail_says_what_moved_what_it_costs_what_was_done_and_what_to_do(home):
    look(home, 1, "concept change", money=Money(12_345.0, 4_000.0, 20_000.0))
    text = home.outbox.waiting()[0].text
    for words in (
        "roc_auc: 0.2 (0.12 to 0.28)", "123.45 EUR a day more than before (40.00 to 200.00)", "The champion keeps answering.",
        "shelflife why fraud", "--snooze 7d", "No earlier alarm of this kind has been settled yet",
    ):  # fmt: skip
        assert words in text


def test_a_snoozed_alarm_is_said_when_the_snooze_is_over_if_it_lasts(home):
    told = alarms.snooze(home, "fraud", timedelta(days=2), DAY)
    assert told["until"] == "1970-01-04T00:00:00Z"
    assert "snoozed until 1970-01-04" in look(home, 1, "concept change")
    look(home, 2, "concept change")
    assert subjects(home) == []
    look(home, 3, "concept change")
    assert subjects(home) == ["model drifting"]


def drift(home, day, run, *ending):
    home.runs.append("fraud", Entry("started", day * DAY, run, cause="concept change").to_dict(), day * DAY)
    for entry in ending:
        home.runs.append("fraud", entry.to_dict(), entry.at)


def test_the_mail_says_how_often_such_alarms_were_right(home):
    endings = {1: ("pass", "promoted"), 11: ("fail", None), 21: ("unsure", None)}
    for day, (verdict, after) in endings.items():
        look(home, day, "concept change")
        run = f"drift-{day}"
        entries = [Entry("finished", (day + 1) * DAY, run, verdict=verdict)]
        drift(home, day, run, *entries, *([Entry(after, (day + 1) * DAY, run)] if after else []))
        look(home, day + 2, "quiet", WELL)
        look(home, day + 3, "quiet", WELL)
    look(home, 31, "concept change")
    text = home.outbox.waiting()[-1].text
    assert "Of 2 settled alarms of this kind 1 were right, 1 were not; 1 are open." in text


def test_a_day_that_was_freed_as_sound_counts_as_a_false_alarm(home):
    for day, false in ((1, False), (11, True)):
        name = f"1970-01-{day:02d}"
        home.quarantine.hold_partition("payment", name, "nulls", day * DAY)
        look(home, day, "broken data", BROKEN, broken={"payment": (name,)})
        home.quarantine.free_partition("payment", name)
        if false:
            home.state.put(f"false_alarm:payment:{name}", "yes")
        look(home, day + 2, "quiet", WELL)
        look(home, day + 3, "quiet", WELL)
    look(home, 21, "broken data", BROKEN, broken={"payment": ("1970-01-21",)})
    assert "Of 2 settled alarms of this kind 1 were right, 1 were not; 0 are open." in home.outbox.waiting()[-1].text


MARKUP = [
    "<script>alert(1)</script>", "</pre><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
    "<iframe src=javascript:alert(1)>", "<a href='javascript:alert(1)'>x</a>", "<body onload=alert(1)>", "'\"><script>x</script>",
    "</script><script>alert(1)</script>", "<style>*{display:none}</style>", "<base href=//evil.test>", "<form action=//evil.test>",
    "<object data=x>", "<embed src=x>", "<link rel=stylesheet href=//evil.test>", "<meta http-equiv=refresh content=0>",
    "<math><mi xlink:href='javascript:x'>", "<details open ontoggle=alert(1)>", "<video><source onerror=alert(1)>", "<!--<script>-->",
    "<![CDATA[<script>]]>", "&lt;script&gt;", "&#60;script&#62;", "<scr\0ipt>alert(1)</scr\0ipt>", "\u202e<script>\u2028alert(1)</script>",
]  # fmt: skip


@pytest.mark.parametrize("payload", MARKUP)
def test_what_came_with_the_data_is_never_markup_in_a_mail(home, payload):
    """25 payloads as a column's name and a value's, through the whole mail as it goes out."""
    said = Finding(
        "quality: payment null share", "fail", 0.3, f"{payload} below 0.05", advice=f"{payload}: 30% nulls of {payload}"
    )
    look(home, 1, "broken data", said, broken={"payment": ("1970-01-01",)})
    built = message(Mail("a@example.org", ("b@example.org",)), home.outbox.waiting()[0])
    parsed = email.message_from_bytes(built.as_bytes(), policy=email.policy.default)
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append((tag, [name for name, _ in attrs]))
    parser.feed(parsed.get_body(("html",)).get_content())
    assert tags == [("html", []), ("body", []), ("pre", ["style"])]
    assert parsed["Subject"] == "[shelflife] fraud: data broken"


SPLITTERS = [
    f"x{split}{header}"
    for split in ("\r\n", "\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\0\n", "\r\n\r\n")
    for header in ("Bcc: evil@x.test", "To: evil@x.test", "Content-Type: text/html")
] + [
    f"=?{charset}?{text}?="
    for charset in ("UTF-8?Q", "utf-8?q", "iso-8859-1?Q")
    for text in ("col=0ABcc:_evil=40x.test", "col=0D=0ABcc:_evil=40x.test", "=0D=0A=0D=0A<html>")
] + ["=?utf-8?b?Y29sCkJjYzogZXZpbEB4LnRlc3Q=?="]  # fmt: skip


def test_there_are_forty_header_payloads():
    assert len(SPLITTERS) == 40
    assert len(MARKUP) == 25


@pytest.mark.parametrize("payload", SPLITTERS)
def test_no_name_that_came_with_the_data_becomes_a_header(home, payload):
    """On the interpreter that runs: the subject is a template, and what is said stands in the body alone."""
    said = Finding(f"quality: {payload} null share", "fail", 0.3, payload, advice=payload)
    look(home, 1, "broken data", said, broken={"payment": ("1970-01-01",)})
    built = message(Mail("a@example.org", ("b@example.org",)), home.outbox.waiting()[0])
    parsed = email.message_from_bytes(built.as_bytes(), policy=email.policy.default)
    assert set(parsed.keys()) == {"Subject", "From", "To", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}
    assert (parsed["To"], parsed["Subject"]) == ("b@example.org", "[shelflife] fraud: data broken")

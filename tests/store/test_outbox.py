import email
import email.policy
import socket
from dataclasses import replace

import pytest
from aiosmtpd.controller import Controller
from goods import NOW, bundle, promote, release
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.core.clock import SECOND
from pipelines.core.errors import ShelflifeError
from pipelines.core.params import Mail
from pipelines.store.outbox import LONGEST, Letter, as_html, message

MINUTE = 60 * SECOND


class Sink:
    """A mail server of the tests: takes mail, or answers what it is told to."""

    def __init__(self):
        self.taken, self.answers, self.refuses = [], {}, {}

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        for part, answer in self.answers.items():
            if part in parsed["Subject"]:
                return answer
        self.taken.append((parsed, list(envelope.rcpt_tos)))
        return "250 OK"


@pytest.fixture
def sink():
    handler = Sink()
    handler.controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    handler.controller.start()
    yield handler
    handler.controller.stop()


@pytest.fixture
def mail(sink):
    return Mail("shelf@example.org", ("ops@example.org", "boss@example.org"), "127.0.0.1", sink.controller.port)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def queue(home, key="k1", subject="[shelflife] fraud: drift", text="It moved by 3 %.", **more):
    with home.state.begin() as connection:
        return home.outbox.queue(connection, key=key, subject=subject, text=text, at=NOW, **more)


def test_a_mail_arrives_as_text_and_html_with_the_configured_recipients(home, sink, mail):
    queue(home, text="Precision fell & <b>rose</b>. 准确率")
    assert home.outbox.deliver(mail, NOW) == type(home.outbox.deliver(mail, NOW))(1, 0)
    ((taken, to),) = sink.taken
    assert to == list(mail.to)
    assert (taken["Subject"], taken["From"], taken["To"]) == ("[shelflife] fraud: drift", mail.sender, ", ".join(mail.to))
    assert "<b>rose</b>. 准确率" in taken.get_body(("plain",)).get_content()
    assert "&amp; &lt;b&gt;rose" in taken.get_body(("html",)).get_content()


def test_a_mail_of_the_same_key_is_queued_once(home, sink, mail):
    assert [queue(home), queue(home, text="other")] == [True, False]
    assert home.outbox.deliver(mail, NOW).sent == 1
    assert queue(home) is False
    assert home.outbox.deliver(mail, NOW).sent == 0


def test_a_mail_whose_cause_is_rolled_back_was_never_there(home):
    def cause():
        with home.state.begin() as connection:
            home.outbox.queue(connection, key="k", subject="s", text="t", at=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cause()
    assert home.outbox.waiting() == []


def test_while_the_server_is_down_mails_wait_and_none_is_lost(home, sink, mail):
    dead = replace(mail, port=free_port())
    now = NOW
    for number in range(100):
        queue(home, key=f"k{number}")
    for _ in range(30):
        assert home.outbox.deliver(dead, now).sent == 0
        now += MINUTE
    assert any("refused" in letter.error for letter in home.outbox.waiting())
    delivered = [home.outbox.deliver(mail, now + extra) for extra in (0, LONGEST)]
    assert sum(done.sent for done in delivered) == 100
    assert delivered[-1].waiting == 0
    assert len(sink.taken) == len({taken["Message-ID"] for taken, _ in sink.taken}) == 100


def test_the_pause_between_tries_grows_to_two_minutes(home, mail):
    queue(home)
    dead = replace(mail, port=free_port())
    pauses = []
    now = NOW
    for _ in range(8):
        home.outbox.deliver(dead, now)
        due = home.outbox.waiting()[0].due
        pauses.append((due - now) // SECOND)
        now = due
    assert pauses == [5, 10, 20, 40, 80, 120, 120, 120]


@pytest.mark.parametrize("answer", ["451 later", "554 never", "421 bye"])
def test_a_mail_that_is_refused_waits_with_the_reason_and_does_not_stop_the_others(home, sink, mail, answer):
    sink.answers["poison"] = answer
    for number, subject in enumerate(["one", "poison", "three"]):
        queue(home, key=f"k{number}", subject=subject)
    now = NOW
    for _ in range(3):
        home.outbox.deliver(mail, now)
        now += LONGEST
    assert sorted(taken["Subject"] for taken, _ in sink.taken) == ["one", "three"]
    (waiting,) = home.outbox.waiting()
    assert answer[:3] in waiting.error or "disconnect" in waiting.error.lower() or "closed" in waiting.error.lower()
    sink.answers.clear()
    assert home.outbox.deliver(mail, now + LONGEST).waiting == 0


def test_a_recipient_who_is_refused_does_not_cost_the_others_their_mail(home, sink, mail):
    sink.refuses["boss@example.org"] = "550 no such user"
    queue(home)
    assert home.outbox.deliver(mail, NOW).sent == 1
    assert sink.taken[0][1] == ["ops@example.org"]
    assert home.outbox.sent()[0].error == "not taken for boss@example.org"


def test_a_promotion_goes_through_while_the_mail_server_is_down(home, tmp_path, mail):
    name = home.releases.add(bundle(tmp_path / "new"))
    promote(home, release(home, name))
    assert home.outbox.deliver(replace(mail, port=free_port()), NOW).waiting == 1
    assert home.releases.champion("fraud").bundle == name


def test_a_server_that_hangs_costs_its_patience_once_and_no_mail(home, sink, mail, monkeypatch):
    """It takes the connection and never says a word: the others wait for the next delivery instead of hanging too."""
    monkeypatch.setattr("pipelines.store.outbox.PATIENCE", 0.3)
    for number in range(5):
        queue(home, key=f"k{number}")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        done = home.outbox.deliver(replace(mail, port=silent.getsockname()[1]), NOW)
    assert (done.sent, done.waiting) == (0, 5)
    assert "timed out" in home.outbox.waiting()[0].error
    assert home.outbox.deliver(mail, NOW + LONGEST).sent == 5


def test_a_server_that_hangs_after_it_was_told_the_mail_gets_it_again(home, sink, mail, monkeypatch):
    """Nobody knows whether it took the mail, so it is sent again under the same id: at least once."""
    import asyncio

    monkeypatch.setattr("pipelines.store.outbox.PATIENCE", 0.5)
    take = sink.handle_DATA

    async def slow(server, session, envelope):
        taken = await take(server, session, envelope)
        await asyncio.sleep(1.5)
        return taken

    sink.handle_DATA = slow
    queue(home)
    assert home.outbox.deliver(mail, NOW).sent == 0
    sink.handle_DATA = take
    assert home.outbox.deliver(mail, NOW + LONGEST).sent == 1
    assert len({taken["Message-ID"] for taken, _ in sink.taken}) == 1


INJECTIONS = [
    "x\r\nBcc: evil@x.test", "x\nBcc: evil@x.test", "x\rBcc: evil@x.test",
    "x\x0bBcc: evil@x.test", "x\x0cBcc: evil@x.test", "x\u2028Bcc: evil@x.test",
    "x\u2029Bcc: evil@x.test", "x\x85Bcc: evil@x.test", "x\0Bcc: evil@x.test",
    "=?UTF-8?Q?col=0ABcc:_evil=40x.test?=", "=?UTF-8?Q?col=0D=0ABcc:_evil=40x.test?=",
    "=?utf-8?b?Y29sCkJjYzogZXZpbEB4LnRlc3Q=?=", "=?iso-8859-1?q?=0A?=", "a =?UTF-8?Q?x?=\n b",
    "x\r\n\r\n<html>", "x\n\n.\n", "", "\u202egnp", "订单", "x" * 201,
    "x\x1b[31m", "x\x7f", "x\ud800",
]  # fmt: skip


@pytest.mark.parametrize("subject", INJECTIONS)
def test_a_subject_that_could_become_another_header_is_refused(home, subject):
    with pytest.raises(ShelflifeError, match="subject"):
        queue(home, subject=subject)
    assert home.outbox.waiting() == []


@settings(deadline=None, max_examples=200)
@given(text=st.text(max_size=60), html=st.none() | st.text(max_size=60), key=st.text(max_size=30))
def test_whatever_a_mail_says_it_has_the_same_headers_and_recipients(text, html, key):
    from pipelines.store.outbox import _clean

    said = Letter(
        key.encode("utf-8", "replace").decode(),
        "[shelflife] x: y",
        _clean(text),
        _clean(html or as_html(text)),
        0,
        0,
        0,
        None,
        None,
    )
    built = message(Mail("a@example.org", ("b@example.org",)), said)
    parsed = email.message_from_bytes(built.as_bytes(), policy=email.policy.default)
    assert set(parsed.keys()) == {"Subject", "From", "To", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}
    assert [len(parsed.get_all(name)) for name in parsed] == [1] * 7
    assert parsed["To"] == "b@example.org"


@pytest.mark.parametrize("address", ["a@b\nBcc: evil@x.test", "a@b, evil@x.test", "<a@b>", "a", "a b@c", ""])
def test_an_address_that_is_not_plain_is_refused_before_anything_is_sent(home, sink, mail, address):
    queue(home)
    for wrong in (replace(mail, to=(address,)), replace(mail, sender=address)):
        with pytest.raises(ShelflifeError, match="plain addresses"):
            home.outbox.deliver(wrong, NOW)
    assert sink.taken == []


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</pre><svg onload=alert(1)>",
    "javascript:alert(1)",
    "&lt;script&gt;",
    "'\"><b>",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_text_never_becomes_markup(payload):
    from html.parser import HTMLParser

    seen = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: seen.append((tag, [name for name, _ in attrs]))
    parser.feed(as_html(payload))
    assert seen == [("html", []), ("body", []), ("pre", ["style"])]

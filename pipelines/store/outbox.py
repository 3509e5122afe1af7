"""Mail that is decided together with its cause and sent at least once: while the mail server is down it waits."""

from __future__ import annotations

import html as markup
import re
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from pipelines.core.clock import SECOND
from pipelines.core.digest import digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.params import Mail
from pipelines.store.failpoint import failpoint
from pipelines.store.state import OUTBOX, State

SUBJECT = re.compile(r"(?!.*=\?)[\x20-\x7e]{1,200}")
"""Printable ASCII without encoded words: nothing in a subject can become another header."""

ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}")
CLAIM = 60 * SECOND
"""How long a sender has a mail to itself; then another may send it again."""
LONGEST = 120 * SECOND
"""The longest pause between two tries: mail arrives within two minutes of the server's return."""
PATIENCE = 10.0
"""Seconds that a mail server has for each answer."""
LOST = 3
"""Connections that may be lost before the rest waits for the next delivery; untried mails then go first."""


@dataclass(frozen=True)
class Delivered:
    """How many mails were sent now, and how many wait."""

    sent: int
    waiting: int


@dataclass(frozen=True)
class Letter:
    """One mail in the outbox. `due` is the next try, `sent` when it was taken (microseconds UTC), `error` why not yet."""

    key: str
    subject: str
    text: str
    html: str
    at: int
    tries: int
    due: int
    sent: int | None
    error: str | None


class Outbox:
    """The mails of one home."""

    def __init__(self, state: State) -> None:
        self.state = state

    def queue(self, connection: Connection, *, key: str, subject: str, text: str, html: str | None = None, at: int) -> bool:
        """Put a mail into the transaction of its cause; False if a mail of this key is there already.

        `subject` is a fixed template filled with plain identifiers; ShelflifeError for anything but printable ASCII. `html` is
        already escaped; without it the escaped text is sent as HTML too.
        """
        if not SUBJECT.fullmatch(subject):
            raise ShelflifeError(f"wanted a mail subject of at most 200 printable ASCII characters, got {ascii(subject)[:60]}")
        if connection.execute(sa.select(OUTBOX.c.key).where(OUTBOX.c.key == key)).first():
            return False
        body = {"text": _clean(text), "html": _clean(html if html is not None else as_html(text))}
        connection.execute(OUTBOX.insert().values(key=key, subject=subject, **body, at=at, tries=0, due=at))
        return True

    def post(self, *, key: str, subject: str, text: str, at: int) -> bool:
        """Put a mail into a transaction of its own, where its cause has none that it could be part of; as `queue` otherwise."""
        with self.state.begin() as connection:
            return self.queue(connection, key=key, subject=subject, text=text, at=at)

    def deliver(self, mail: Mail, now: int) -> Delivered:
        """Send what is due, each mail by itself; one that is refused does not stop the next. Never raises for a server that is
        down, slow or unwilling: what it did not take stays, with the reason, and is tried again after a growing pause.
        """
        _check_addresses(mail)
        letters = self._claim(now)
        sent = lost = 0
        while letters and lost < LOST:
            try:
                taken = self._send(mail, letters[0], now)
            except OSError as error:  # no connection, or it was lost on this mail; smtplib's own errors are OSErrors too
                lost += 1 if isinstance(error, smtplib.SMTPServerDisconnected) else LOST
                self._postpone(letters[:1], error, now)
                taken = False
            sent, letters = sent + taken, letters[1:]
        if letters:
            self._postpone(letters, OSError("the mail server cannot be reached"), now)
        return Delivered(sent, len(self.waiting()))

    def waiting(self) -> list[Letter]:
        """Mails that no server has taken yet, oldest first."""
        with self.state.read() as connection:
            rows = connection.execute(sa.select(OUTBOX).where(OUTBOX.c.sent.is_(None)).order_by(OUTBOX.c.at, OUTBOX.c.key))
            return [_letter(row) for row in rows]

    def sent(self) -> list[Letter]:
        with self.state.read() as connection:
            rows = connection.execute(sa.select(OUTBOX).where(OUTBOX.c.sent.is_not(None)).order_by(OUTBOX.c.at, OUTBOX.c.key))
            return [_letter(row) for row in rows]

    def _claim(self, now: int) -> list[Letter]:
        """Take what is due for a while, so that two senders at once do not both send it."""
        due = (OUTBOX.c.sent.is_(None)) & (OUTBOX.c.due <= now)
        query = sa.select(OUTBOX).where(due).order_by(OUTBOX.c.tries, OUTBOX.c.at, OUTBOX.c.key)
        with self.state.begin() as connection:
            letters = [_letter(row) for row in connection.execute(query)]
            connection.execute(OUTBOX.update().where(due).values(due=now + CLAIM))
        return letters

    def _send(self, mail: Mail, letter: Letter, now: int) -> bool:
        """Hand one mail over, on a connection of its own; whether the server took it. Raises OSError when there is no server."""
        try:
            with _server(mail) as server:
                refused = server.send_message(message(mail, letter), mail.sender, list(mail.to))
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPException as error:
            self._postpone([letter], error, now)
            return False
        failpoint("outbox.sent")
        note = f"not taken for {', '.join(sorted(refused))}" if refused else None
        values = {"sent": now, "tries": letter.tries + 1, "error": note}
        with self.state.begin() as connection:
            connection.execute(OUTBOX.update().where(OUTBOX.c.key == letter.key).values(**values))
        failpoint("outbox.marked")
        return True

    def _postpone(self, letters: list[Letter], error: Exception, now: int) -> None:
        with self.state.begin() as connection:
            for letter in letters:
                pause = min(5 * SECOND * 2 ** min(letter.tries, 10), LONGEST)
                values = {"tries": letter.tries + 1, "due": now + pause, "error": ascii(str(error))[:300]}
                connection.execute(OUTBOX.update().where(OUTBOX.c.key == letter.key, OUTBOX.c.sent.is_(None)).values(**values))


def message(mail: Mail, letter: Letter) -> EmailMessage:
    """The mail as it goes out: text, and the same as HTML. Who gets it comes from the configuration alone.

    The Message-ID follows from the key, so that a mail sent twice is recognised as one.
    """
    built = EmailMessage(policy=SMTP)
    built["Subject"], built["From"], built["To"] = letter.subject, mail.sender, ", ".join(mail.to)
    built["Message-ID"] = f"<{digest(letter.key)[:32]}@shelflife>"
    built["Auto-Submitted"] = "auto-generated"
    built.set_content(letter.text, cte="base64")
    built.add_alternative(letter.html, subtype="html", cte="base64")
    return built


def as_html(text: str) -> str:
    """Plain text as an HTML page in which nothing is markup."""
    style = "font: 14px/1.5 sans-serif; white-space: pre-wrap"
    return f'<!doctype html><html><body><pre style="{style}">{markup.escape(text)}</pre></body></html>'


def _clean(text: str) -> str:
    """The text without what no mail can carry: control characters and halves of surrogate pairs."""
    kept = "".join(char for char in text if char in "\n\t" or ord(char) >= 32)
    return kept.encode("utf-8", "replace").decode()


def _check_addresses(mail: Mail) -> None:
    for address in (mail.sender, *mail.to):
        if not ADDRESS.fullmatch(address):
            raise ShelflifeError(
                f"shop.mail: wanted plain addresses such as ops@example.org, got {ascii(address)[:60]}; mend params.yaml"
            )


@contextmanager
def _server(mail: Mail) -> Iterator[smtplib.SMTP]:
    server = smtplib.SMTP(mail.host, mail.port, timeout=PATIENCE)
    try:
        if mail.starttls:
            import ssl

            server.starttls(context=ssl.create_default_context())
        yield server
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.quit()


def _letter(row: Any) -> Letter:
    return Letter(row.key, row.subject, row.text, row.html, row.at, row.tries, row.due, row.sent, row.error)

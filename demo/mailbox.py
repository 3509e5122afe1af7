"""A real SMTP server on loopback that keeps what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from email.policy import default
from typing import Any


class Mailbox:
    """The mails that have come, oldest first."""

    def __init__(self) -> None:
        self.mails: list[Message] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802, ARG002  aiosmtpd's name and call
        self.mails.append(message_from_bytes(envelope.content, policy=default))
        return "250 kept"

    @property
    def subjects(self) -> list[str]:
        return [str(mail["Subject"]) for mail in self.mails]

    def about(self, case: str, words: str) -> list[Message]:
        """The mails whose subject names the use case and holds the words."""
        return [mail for mail in self.mails if f"] {case}: " in str(mail["Subject"]) and words in str(mail["Subject"])]


@contextmanager
def mailbox(host: str, port: int) -> Iterator[Mailbox]:
    """A mailbox that takes mail for as long as the block lasts. Raises OSError when the port is taken."""
    from aiosmtpd.controller import Controller

    box = Mailbox()
    controller = Controller(box, hostname=host, port=port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()

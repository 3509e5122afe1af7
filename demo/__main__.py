"""`python -m demo`: the story with live progress; it stays up until Ctrl-C, or ends by itself with --exit."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from demo.shop import REPOSITORY, Broken, Shop
from demo.story import Story

T = TypeVar("T")


class Teller:
    """Says what happens while it happens."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.began = time.monotonic()
        self.addresses: list[tuple[str, str]] = []

    def chapter(self, title: str) -> None:
        self.console.print(f"\n[bold]{title}[/bold]  [dim]{self._clock()}[/dim]")

    def say(self, text: str) -> None:
        self.console.print(f"  {text}", markup=False)

    def step(self, title: str, work: Callable[[], T]) -> T:
        """Do some work with a spinner, then say how long it took."""
        start = time.monotonic()
        with self.console.status(f"  {title} …"):
            result = work()
        self.console.print(f"  [green]✓[/green] {title} [dim]{time.monotonic() - start:.0f} s[/dim]")
        return result

    def address(self, name: str, text: str) -> None:
        self.addresses.append((name, text))

    def end(self, story: Story) -> None:
        """The summary: what each decision cost or saved, and what is up."""
        table = Table(title=f"What was decided, and what it cost or saved by the simulator's truth ({self._clock()})")
        table.add_column("decision")
        table.add_column("money")
        for row in story.lines:
            table.add_row(*row)
        self.console.print()
        self.console.print(table)
        self.console.print("\nmails sent:")
        for subject in story.mails.subjects:
            self.say(subject)
        for name, text in self.addresses:
            self.say(f"{name}: {text}")

    def _clock(self) -> str:
        seconds = int(time.monotonic() - self.began)
        return f"{seconds // 60}:{seconds % 60:02d}"


def main() -> int:
    """Exit status 0 only if the story happened as told."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--exit", action="store_true", help="end when the story is told, instead of staying up")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    teller = Teller()
    folder = Path(os.environ.get("SHELFLIFE_DEMO") or REPOSITORY / ".shelflife" / "demo")
    with ExitStack() as stack:
        try:
            shop = Shop.fresh(folder)
            os.environ.update(SHELFLIFE_HOME=str(shop.home), SHELFLIFE_ROOT=str(shop.root))
            story = Story(shop, teller, stack)
            story.happen()
            teller.end(story)
            if not args.exit:
                teller.say("It stays up until Ctrl-C.")
                signal.pause()
        except Broken as error:
            teller.console.print(f"\nThe story broke: {error}", style="red", markup=False)
            return 1
        except KeyboardInterrupt:
            teller.say("stopping everything")
    return 0


if __name__ == "__main__":
    sys.exit(main())

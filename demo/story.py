"""The chapters of the story, each with what must be seen for it to have happened as told."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from demo.mailbox import Mailbox, mailbox
from demo.shop import Api, Broken, Shop, free_port
from demo.truth import fraud_cost
from pipelines.core.clock import DAY, instant
from pipelines.steps import airflow
from pipelines.steps.airflow_api import AirflowApi
from pipelines.steps.state import open_home
from pipelines.steps.workspace import Workspace

QUIET_WEEKS = 1
LOOKS = (28, 14, 14)
"""Days until each look after fraud changed its ways. Labels mature within five days and a week of them is the holdout: within four
weeks there are enough of the new ways both to learn from and to be judged on."""
ASKS = 40


@dataclass
class Story:
    """The demo as it goes: its shop, its services, and what is told."""

    shop: Shop
    tell: Any
    stack: ExitStack
    mails: Mailbox = field(init=False)
    flow: AirflowApi = field(init=False)
    api: Api = field(init=False)
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.shop.root)

    def happen(self) -> None:
        """All chapters, in order. Raises Broken for the first that does not happen as told."""
        self.prologue()
        self.first_releases()
        self.services()
        for week in range(1, QUIET_WEEKS + 1):
            self.quiet_week(week)
        self.unit_bug()
        self.concept_change()

    def prologue(self) -> None:
        self.tell.chapter("A shop with a past")
        mail = self.workspace.params.shop.mail
        self.mails = self.stack.enter_context(mailbox(mail.host, mail.port))
        self.tell.step("keys that sign releases", lambda: self.shop.say("keys", "make"))
        made = self.tell.step("the simulated shop's history", lambda: self.shop.say("simulate"))
        self.tell.say(f"{made['events']:,} events in the log; it is {made['now'][:10]}")

    def first_releases(self) -> None:
        self.tell.chapter("dvc repro, and the first releases")
        cases = self.workspace.params.cases
        with ThreadPoolExecutor(2) as pool:
            for case, text in zip(cases, pool.map(self._first_release, cases), strict=True):
                self.tell.say(f"{case}: {text}")

    def _first_release(self, case: str) -> str:
        opened = self.shop.say("learn", "open", case, "--run", "first")
        log = self.shop.home / "dvc.log"
        self.shop.run(
            sys.executable, "-m", "dvc", "--wait-for-lock", "repro", f"evaluate@{case}", cwd=_path(opened["worktree"]), log=log
        )
        judged = self.shop.say("learn", "record", case, "--run", "first")
        if judged["verdict"] != "pass":
            raise Broken(f"the first release of {case} did not pass: {judged['why']}")
        promoted = self.shop.say("promote", case, "--run", "first", "--by", "demo")
        self.shop.say("learn", "close", case, "--run", "first", "--status", "promoted")
        return f"{promoted['bundle'][:12]} passed its gate, was signed and answers"

    def services(self) -> None:
        self.tell.chapter("Airflow and the API")
        port = free_port()
        settings = airflow.Settings(
            self.shop.root, self.shop.home, port, parallelism=4, users=(("demo", "admin"),), passwords=(("demo", "demo"),),
            active=("learn", "monitor"), extra=tuple(self.shop.env.items()),
        )  # fmt: skip
        self.tell.step("Airflow: scheduler, web UI, mail", lambda: self.stack.enter_context(airflow.started(settings)))
        self.flow = settings.api()
        serving = free_port()
        self.api = Api(f"http://127.0.0.1:{serving}")
        self.stack.enter_context(self.shop.service("stream", "fraud", "--follow"))
        process = self.stack.enter_context(self.shop.service("serve", "--port", str(serving)))
        self.tell.step("the serving API", lambda: self.api.ready(process))
        self.tell.address("Airflow", f"{settings.address} (user demo, password demo)")
        self.tell.address("API", f"{self.api.address}/openapi.json")
        self.tell.address("Console", f"{self.api.address}/console")

    def quiet_week(self, week: int) -> None:
        self.tell.chapter(f"An ordinary week ({week})")
        before = len(self._alarms())
        found = self._week()
        expect(not found["proposals"], "an ordinary week proposes no retraining", found)
        expect(all(look["kind"] in ("quiet", "harmless shift") for look in found["looks"]), "an ordinary week is quiet", found)
        expect(len(self._alarms()) == before, "an ordinary week sends no alarm", self._alarms()[before:])
        self.tell.say("quiet: no alarm, no retraining, the champions keep answering")
        self.lines.append((f"ordinary week {week}: nothing done", "0.00, as it should be"))

    def unit_bug(self) -> None:
        self.tell.chapter("A feed breaks: amounts a hundred times too large for a day")
        champion = self._champion("fraud")
        day = self._day()
        found = self._week("--incident", "unit_bug:5:1")
        look = next(look for look in found["looks"] if look["case"] == "fraud")
        expect(look["kind"] == "broken data", "the broken feed is seen as broken data", look)
        expect(not found["proposals"], "broken data proposes no retraining", found["proposals"])
        expect(self._champion("fraud") == champion, "the champion is kept", "")
        mail = self._mail("fraud", "data broken")
        self.tell.say(f"mail: {mail['Subject']}")
        self.tell.say(" ".join(look["done"]))
        with_bug = fraud_cost(self.workspace, open_home(self.workspace), champion, day + 4, day + 5)
        without = fraud_cost(self.workspace, open_home(self.workspace), champion, day + 4, day + 5, without=("unit_bug",))
        self.lines.append(
            (
                "broken feed: rows held, champion kept",
                f"{self._money(with_bug.cents - without.cents)} would have been lost by answering that day from the broken amounts",
            )
        )

    def concept_change(self) -> None:
        self.tell.chapter("Fraud changes its ways")
        champion = self._champion("fraud")
        incidents: tuple[str, ...] = ("--incident", "concept_change:1")
        for days in LOOKS:
            found = self._days(days, *incidents)
            incidents = ()
            proposals = [p["case"] for p in found["proposals"]]
            expect(set(proposals) <= {"fraud"}, "fraud alone is proposed for retraining", proposals)
            if proposals and self._learn(found["proposals"][0]):
                break
        else:
            raise Broken(f"{sum(LOOKS)} days after the change no better release of fraud had passed its gate")
        released = self._champion("fraud")
        expect(released != champion, "a new release answers", released)
        self._answers_with(released)
        day = self._day()
        self.tell.step("seven more days go by", lambda: self.shop.say("simulate", "--days", "7"))
        home = open_home(self.workspace)
        old, new = (fraud_cost(self.workspace, home, name, day, day + 7) for name in (champion, released))
        self.tell.say(f"the week after, by the simulator's truth: {new.frauds} frauds in {new.payments:,} payments")
        saved = old.cents - new.cents
        word = "saved" if saved >= 0 else "lost"
        said = f"{self._money(abs(saved))} {word} in the week after, against keeping the old release"
        self.lines.append(("fraud retrained, approved and promoted", said))

    def _learn(self, proposal: dict[str, Any]) -> bool:
        """Follow the learn run that the proposal starts; True when it ended in a promotion."""
        mail = self._mail("fraud", "model drifting")
        self.tell.say(f"mail: {mail['Subject']}")
        key = f"{proposal['case']}@{proposal['as_of']}@{proposal['run']}"
        run = self.tell.step("a learn run for fraud alone", lambda: self.flow.wait_for_run("learn", key, 120))
        self.tell.step("it validates, builds features, trains, judges", lambda: self.flow.until(
            lambda: self.flow.pending("learn", run) or self._over(run), 900, lambda: "the run to ask for approval, or to end"
        ))  # fmt: skip
        judged = self.flow.result("learn", run, "record")
        self.tell.say(f"Evidently's verdict: {judged['verdict']}")
        if judged["verdict"] != "pass":
            self.flow.wait("learn", run, 300)
            return False
        self.tell.say("a person's approval: given by the demo, through Airflow's REST API")
        said = {"approve": True, "comment": "The challenger is better where it matters."}
        state = self.tell.step("the promotion", lambda: self.flow.see_through("learn", run, 300, **said))
        expect(state == "success", "the learn run ends well", state)
        return True

    def _over(self, run: str) -> bool:
        return self.flow.run("learn", run)["state"] in ("success", "failed")

    def _week(self, *incidents: str) -> dict[str, Any]:
        return self._days(7, *incidents)

    def _days(self, days: int, *incidents: str) -> dict[str, Any]:
        """Days go by, the shop asks for some payments over HTTP, and the monitor looks."""
        self.tell.step(f"{days} days go by", lambda: self.shop.say("simulate", "--days", str(days), *incidents))
        self._ask()
        run = self.flow.trigger("monitor")
        self.tell.step("the monitor looks at every use case", lambda: self.flow.wait("monitor", run, 600))
        found = self.flow.result("monitor", run, "look")
        if found is None:
            raise Broken(f"the monitor broke down: {self.flow.log('monitor', run, 'look')[-800:]}")
        return dict(found)

    def _ask(self) -> dict[str, Any]:
        """Some of the last day's payments, asked over HTTP as the shop would."""
        home = open_home(self.workspace)
        payments = home.landing.table("payment", home.clock()())
        asks = payments.slice(max(0, len(payments) - ASKS)).to_pylist()
        drop = ("arrived", "offset")
        answered = self.api.ask("fraud", [{name: value for name, value in ask.items() if name not in drop} for ask in asks])
        expect(len(answered["answers"]) == len(asks), "every ask is answered", answered)
        return answered

    def _answers_with(self, name: str) -> None:
        """The API answers with this bundle."""
        answered = self._ask()
        expect(answered["bundle"] == name, "the API answers with the new release", answered["bundle"])
        self.tell.say(f"the API answers with {name[:12]}")

    def _mail(self, case: str, words: str) -> Any:
        found = self.mails.about(case, words)
        expect(bool(found), f"a mail about {case} says '{words}'", self.mails.subjects)
        return found[-1]

    def _alarms(self) -> list[str]:
        """Mails that call somebody; that of a promotion, which may come late, does not."""
        return [subject for subject in self.mails.subjects if "promoted" not in subject]

    def _champion(self, case: str) -> str:
        champion = open_home(self.workspace).releases.champion(case)
        return champion.bundle if champion else ""

    def _day(self) -> int:
        return (open_home(self.workspace).clock()() - instant(self.workspace.params.shop.simulate.start)) // DAY

    def _money(self, cents: int) -> str:
        return f"{cents / 100:,.2f} {self.workspace.params.shop.currency}"


def expect(happened: bool, told: str, seen: Any) -> None:
    """Raises Broken unless it happened as told."""
    if not happened:
        raise Broken(f"the story says that {told}, but seen was: {str(seen)[:1200]}")


def _path(text: str) -> Any:
    from pathlib import Path

    return Path(text)

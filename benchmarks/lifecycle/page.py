"""docs/lifecycle.md and its picture out of figures.json: what is on the page is what was measured, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.lifecycle import learning, phases, picture, season
from benchmarks.lifecycle.figures import OURS
from benchmarks.lifecycle.policies import POLICIES
from benchmarks.lifecycle.shop import Setting, schedule

ROOT = Path(__file__).resolve().parents[2]
FIGURES = Path(__file__).with_name("figures.json")
PAGE = ROOT / "docs" / "lifecycle.md"
PICTURE = ROOT / "docs" / "images" / "lifecycle.svg"
INTRODUCTION = """# What keeping a model fresh is worth

`make bench-lifecycle` computes this page (the figures are in `benchmarks/lifecycle/figures.json`). The shop is simulated, so the
truth is known: what every answer really cost, when the world changed, and when only a feed was broken. Five policies keep the
same models of the same shops fresh for half a year; this is what each of them loses.

![Money lost against the oracle, week by week](images/lifecycle.svg)"""
REASONS = {
    "fraud": (
        "Why not less than all others: the new ways of the fraudsters last for two months or so, and then the old ones are back. What a "
        "challenger has learnt ends four weeks before it is judged (the label's delay twice, the holdout, half of the validation part), "
        "so the first one that knows the new ways comes when half of their time is over, and what has learnt them is wrong soon after. "
        "The watch then brings the model before back, but not before labels of the old ways have matured. Who never "
        "changes anything pays while the new ways last, and is right again afterwards. Two weeks of labels hold "
        "some sixty frauds: what they say of a challenger is wide."
    ),
    "demand": (
        "Why not less than all others: a model that has learnt from all of the last year answers better than one that has learnt from less, on "
        "the whole, so that who takes new ones without proof gains by it. All items live through the same weeks: a promotion or a change "
        "moves many of them together, and labels that add up seven days share most of them with the days beside. So four weeks of labels are "
        "four draws of what a week does, however many items there are, and the gate counts them as four (`gate.together: 7d`): a challenger "
        "passes only where all four say almost the same, which is seldom. Until one does the first model answers, which has learnt from the "
        "shop's first seven weeks alone. The point compare waits for nothing: some of what it promotes is dearer than what it replaces, but "
        "a few weeks with a model that is a little dearer cost less than months without one that is better. Where new models are no "
        "better than old ones on the whole, as for fraud, the same haste costs more than it gains."
    ),
}
"""Why a policy is not provably beaten, by use case: said only where one is not."""
ENOUGH = 20
"""With fewer shops the page says so."""
FEWEST = 5
"""With fewer shops nothing is said to be proven."""
COLUMNS = (
    "", "lost, EUR per 100 days", "more than shelflife", "faults found", "changes found", "recovered", "false actions per 100 quiet days",
    "retrainings", "promotions", "CPU, s",
)  # fmt: skip
MEANING = f"""## What the columns say

- **lost**: what the policy's answers cost, less what the oracle's cost, per 100 days; the mean over the shops with its 95 %
  bootstrap interval over shops. Fraud costs by the use case's cost matrix at the true label and the true amount; the action is
  chosen from the score and the amount *as they came in*, so answering from a broken feed costs too. Demand costs as the newsvendor
  pays: units short and units left over of the week's true sales, at the true price.
- **more than shelflife**: the same shop by shop, as a difference; the interval is over shops. Above zero: shelflife lost less.
- **faults found**, **changes found**: how many of the broken feeds and of the changed worlds an alarm came for, of how many, and
  after how many days (the median over all of them; "more than half never" where fewer than half were found). An alarm finds a change within
  {season.SEEN_WITHIN["change"]} days of it, a fault until {season.SEEN_WITHIN["fault"]} days after it. Of our alarms, one about data finds a
  fault and one about drift a change; Evidently's rule knows one alarm only, which finds either.
- **recovered**: of the changes, how many the policy got over, and the median days from the change to the first Monday from which four
  weeks cost at most {season.NEAR - 1:.0%} more than the oracle's; not before any model could have learnt from the changed world.
- **false actions**: alarms on quiet days, and promotions on quiet days of a model that then cost more over four weeks than the
  one it replaced. A day is quiet when no fault or change lies in the days before it in which it could be found; promotion weeks, new
  categories and whatever does not concern the use case happen on quiet days too.
- **retrainings**, **promotions**: how many in the half year. **CPU**: seconds for training, watching and judging (features are computed
  once and not counted).
- **The oracle** answers each week with the cheapest of all the models that any policy had trained by then, chosen by what that very
  week turned out to cost. Nobody can do that; it is the same for all policies, so the differences between them do not depend on it."""


def rendered(figures: Mapping[str, Any]) -> str:
    """The page as Markdown."""
    cases = [_case(name, found) for name, found in figures["cases"].items()]
    parts = [INTRODUCTION, *cases, MEANING, _policies(), _settings(figures)]
    return "\n\n".join(parts) + "\n"


def write() -> None:
    """The page and its picture."""
    figures = json.loads(FIGURES.read_text("utf-8"))
    PAGE.write_text(rendered(figures), "utf-8")
    PICTURE.write_text(picture.draw(figures["cases"]), "utf-8")


def _case(name: str, found: Mapping[str, Any]) -> str:
    shops = found["shops"]
    said = f"{found['seeds']} shops (seeds {shops[0]} to {shops[-1]}), {found['days']} days each, {found['quiet_days']} of all days quiet. "
    said += f"The oracle pays {_money(found['oracle'])} EUR per 100 days."
    if found["seeds"] < ENOUGH:
        said += f" These are fewer than {ENOUGH} shops: the intervals are wide, and `make bench-lifecycle` goes on where it stopped."
    return "\n\n".join(
        [
            f"## {name.capitalize()}",
            said,
            _table(found["rows"]),
            _verdict(found["rows"], found["seeds"]),
            _phases(name, found["rows"]),
            *_why(name, found),
        ]
    )


def _table(rows: Mapping[str, Any]) -> str:
    lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1)), *(_row(name, row) for name, row in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, row: Mapping[str, Any]) -> Sequence[str]:
    cells = [
        name, _money(row["lost"]), _money(row["saved"]) if "saved" in row else "", *(_found(row[what]) for what in ("faults", "changes", "recovered")),
        "{:.1f} ({:.1f} to {:.1f})".format(*row["false"]), f"{row['retrainings']:.1f}", f"{row['promotions']:.1f}", f"{row['cpu']:.0f}",
    ]  # fmt: skip
    return [f"**{cell}**" if cell else "" for cell in cells] if name == OURS else cells


def _money(bounds: Sequence[float]) -> str:
    return "{:,.0f} ({:,.0f} to {:,.0f})".format(*bounds)


def _found(spread: Mapping[str, Any]) -> str:
    if not spread["found"]:
        return f"0 of {spread['of']}"
    when = "more than half never" if spread["median"] is None else f"{spread['median']:.0f} days"
    return f"{spread['found']} of {spread['of']}, {when}"


def _verdict(rows: Mapping[str, Any], shops: int) -> str:
    """Where the paired interval is clear of zero and where it is not, in words."""
    lines = []
    for name, row in rows.items():
        if "saved" not in row:
            continue
        word = _compared(*row["saved"][1:], shops)
        lines.append(f"- Shelflife loses **{word}** *{name}*: by {_money(row['saved'])} EUR per 100 days.")
    return "\n".join(lines)


def _compared(low: float, high: float, shops: int) -> str:
    if shops < FEWEST:
        return "nobody can say whether less than"
    if low == high == 0:
        return "to the cent as much as"
    return "less than" if low > 0 else "more than" if high < 0 else "neither provably less nor more than"


def _phases(case: str, rows: Mapping[str, Any]) -> str:
    """When the money was lost."""
    change = phases.CHANGE[case].replace("_", " ")
    lines = [
        f"Of what was lost, in the weeks before the {change}, while it lasts, and after the old world is back (the three add up):", "",
        f"| | {' | '.join(phases.PHASES)} |", f"|---|{'---:|' * len(phases.PHASES)}",
        *(f"| {name} | {' | '.join(_money(row['phases'][phase]) for phase in phases.PHASES)} |" for name, row in rows.items()),
    ]  # fmt: skip
    return "\n".join(lines)


def _why(case: str, found: Mapping[str, Any]) -> list[str]:
    """What our gate did on its Mondays and, where another policy is not provably beaten, why that is."""
    seen = found["mondays"]
    trained = seen["pass"] + seen["fail"] + seen["unsure"]
    told = (
        f"Shelflife trained {trained:,} challengers: {seen['pass']} passed, {seen['fail']} were rejected, {seen['unsure']} could not be "
        f"decided. On {seen['not valid']} Mondays the data did not validate, and nothing was trained."
    )
    if seen["alone"]:
        each = ", ".join(f"{name} ({times})" for name, times in seen["alone"].items())
        told += f" Of the undecided, one finding alone stood in the way of {sum(seen['alone'].values())}: {each}."
    if seen["back"]:
        times = "once" if seen["back"] == 1 else f"{seen['back']} times"
        told += f" A model that had answered before was brought back {times}, where it would have answered the newest matured asks better."
    if seen["unmoved"]:
        told += (
            f" In {seen['unmoved']} of {found['seeds']} shops no challenger ever passed: the first model answered all along, so that there "
            "shelflife lost to the cent what *never retrain* lost."
        )
    unproven = [name for name, row in found["rows"].items() if "saved" in row and row["saved"][1] <= 0]
    return [told, REASONS[case]] if unproven and case in REASONS else [told]


def _policies() -> str:
    told = [f"- **{policy.name}**: {policy.says}" for policy in POLICIES]
    return "\n".join(["## The policies", "", *told])


def _settings(figures: Mapping[str, Any]) -> str:
    setting = Setting(**figures["setting"])
    size = (
        f"Each shop has {setting.customers:,} customers, {setting.items} items and {setting.sessions} visits a day; {setting.history} days of "
        f"history come before the first model, {7 * setting.weeks} days are watched. Decisions fall on Monday mornings."
    )
    recipe = (
        "Every model is made by one recipe, from the project's own code: rows from the batch engine as they were known at each ask, labels "
        "as they were known on that Monday and mature, the split of `params.yaml` (for fraud with "
        f"{setting.train} days to train and {setting.holdout} to judge on; a model of demand learns from all of the last year that there is, and the "
        "first one had seven weeks; "
        "all policies leave the holdout out), LightGBM with "
        f"{learning.SETTINGS['trees']} trees, and the calibration of the step `train`. The first model is the same for all."
    )
    ours = (
        "Ours are the functions that the verbs call: `looking.feeds`, `looking.shifts`, `Outcomes`, `triage` and `recall` for the watch, the "
        "history half of the validation suites, `controller.decide`, and `gate.judge` with the parameters of `params.yaml` (but 400 resamples, and "
        "four weeks of reference for the watch, for speed). Left out, "
        "since they cost time and decide nothing here: the export to ONNX with its parity check, latency and size, and the person who "
        "approves a release (always yes, at once)."
    )
    happens = "\n".join(f"- {incident}" for incident in sorted(schedule(1, setting), key=lambda incident: incident.first_day))
    return "\n\n".join([
        "## The shops", size, "To each shop the same kinds of things happen, on days and in sizes drawn from its seed. To the first one:", happens,
        "## The models and our decisions", recipe, ours, f"Measured on {figures['machine']}.",
    ])  # fmt: skip

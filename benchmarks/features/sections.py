"""What the page says of each part: whether the wanted figures are reached, a table with words around it, and bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from benchmarks.features.stream import EMBEDDED

Part: TypeAlias = Mapping[str, Any]
Round: TypeAlias = Mapping[str, Any]
Finding: TypeAlias = tuple[str, str, str, bool]
"""What was asked for, what is wanted, what was measured, and whether that is reached."""
Bars: TypeAlias = tuple[str, list[tuple[str, float, bool]]]
"""A caption, and per bar its name, its value and whether it is ours."""


LOADED = 4
"""A load average above this says that the machine was not the contestants' own."""


class Section(NamedTuple):
    findings: Callable[[Part], list[Finding]]
    text: Callable[[Part], str]
    bars: Callable[[Part], list[Bars]]


def middle(part: Part, name: str, figure: str | Callable[[Round], float]) -> float:
    """The median of a figure over the rounds."""
    value = (lambda each: each[figure]) if isinstance(figure, str) else figure
    return median(value(each) for each in part["rounds"][name])


def times(part: Part, name: str, other: str, figure: str | Callable[[Round], float]) -> float:
    """The median over the rounds of one's figure by the other's in the same round."""
    value = (lambda each: each[figure]) if isinstance(figure, str) else figure
    return median(value(a) / value(b) for a, b in zip(part["rounds"][name], part["rounds"][other], strict=True))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are figures; rows that are ours are bold."""
    rows = [[f"**{cell}**" if cell else "" for cell in row] if row[0].startswith("ours") else list(row) for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (list(head), ["---", *["---:"] * (len(head) - 1)], *rows))


def peak(part: Part, name: str) -> float:
    return max(each["peak_mb"] for each in part["rounds"][name])


def spent(part: Part, does: str) -> str:
    """Where ours spends its time, by a profiler in a run that is not timed, and `does`: what would make it less."""
    if "profile" not in part:
        return f"- {does}"
    shares = ", ".join(f"`{name}` {share:.0%}" for name, share in part["profile"][:8])
    return f"- Where the time goes in ours (own time of functions, profiled): {shares}. {does}"


def _measured(part: Part) -> str:
    busy = "; the load was not recorded" if "load" not in part else ""
    busy = f"; load average {part['load']:.0f}: other work ran beside it" if part.get("load", 0) > LOADED else busy
    return f"{max(map(len, part['rounds'].values()))} rounds; {part['machine']}{busy}."


FEAST, MERGE = "Feast, DuckDB store", "pandas merge_asof"
BY_HAND = ("numpy by hand", "Polars by hand")


def label_rows(part: Part, each: Round) -> float:
    """Asks answered a second; Feast is given fewer of them."""
    return each.get("rows", part["asks"]) / each["seconds"]


def best_by_hand(part: Part) -> str:
    return min(BY_HAND, key=lambda name: middle(part, name, "seconds"))


def _training_findings(part: Part) -> list[Finding]:
    feast = times(part, "ours", FEAST, lambda each: label_rows(part, each))
    best = best_by_hand(part)
    ratio, most = times(part, "ours", best, "seconds"), peak(part, "ours")
    return [
        ("label rows/s, features computed, beside Feast's, which joins only", "20 x", f"{feast:,.0f} x", feast >= 20),
        (f"seconds beside the best version by hand ({best.split()[0]})", "1.5 x", f"{ratio:.2f} x", ratio <= 1.5),
        ("peak memory of the training set", "1,000 MB", f"{most:,.0f} MB", most < 1000),
    ]


def _training(part: Part) -> str:
    rows = [
        (
            name,
            "joined" if name in {FEAST, MERGE} else "computed",
            f"{middle(part, name, 'seconds'):,.1f}",
            f"{middle(part, name, lambda each: label_rows(part, each)):,.0f}",
            f"{middle(part, name, 'cpu'):,.1f}",
            f"{peak(part, name):,.0f}",
        )
        for name in part["rounds"]
    ]
    before, checked = part["beforehand"], part["checked"]
    return f"""## The training set

{5_000_000 * part["scale"]:,.0f} events of 60 days, {part["asks"]:,} asks, twelve features of customer and item (four counts, three sums, mean, smallest,
largest, distinct, last; 1 h, 1 d, 7 d, 30 d; filters), Parquet in, Arrow out, two threads. {_measured(part)}

{table(("", "features", "seconds", "label rows/s", "CPU seconds", "peak MB"), rows)}

- Ours, the versions by hand and the range join gave the same {checked["cells"]:,} cells, nothing rounded. Who writes by hand
  (`benchmarks/features/peers/frames/`) knows that no event was delivered twice or corrected and that no two events of a key share
  a moment; ours finds out, and is right where they do.
- merge_asof and Feast join rows that were computed beforehand, one an event and key, in {before["seconds"]:,.0f} s, {before["cpu"]:,.0f} CPU s and {before["peak_mb"]:,.0f} MB.
  Such a row is true when it is written and does not decay: {checked["stale_rows"] / checked["rows"]:.0%} of the asks got at least one feature that was no longer
  true. Feast was given {part["rounds"][FEAST][0]["rows"]:,} of the asks and gave what merge_asof gives.
{spent(part, "DuckDB reads the Parquet files, looks for repeated ids, and joins and sorts the events of a part of the keys at a time; numpy answers every window from there (`pipelines/features/runs.py`).")}"""  # noqa: E501  lines of the page


def _training_bars(part: Part) -> list[Bars]:
    names = {name: f"{name} (joins only)" if name in {FEAST, MERGE} else name for name in part["rounds"]}
    rates = [(said, middle(part, n, lambda each: label_rows(part, each)), n == "ours") for n, said in names.items()]
    return [("Training set: label rows a second", rates)]


STREAM_CURE = (
    "Most events touch a key that no event of the batch before had: all that it holds is fetched from memory, packed and written "
    "whole, beside the event's identity, which lies at a random place. Tried, and no faster: one array a key in place of one a series; "
    "a key's events one after the other and its value packed right behind them; a key's rows as one piece. What would reach the wanted "
    "update is another store: the tiles of all keys in one array, a ring a window (`benchmarks/features/rings.py`). It would hold "
    "every tile of every key, used or not, and have late events, corrections, smallest, first, last and distinct from somewhere else; "
    "ours has one way for all. From the log on it would save the update and most of the packing, and identities that only the log keeps "
    "would save their share of what is written; reading the log, rows and the commit stay."
)
READS_CURE = (
    "A compiled function takes the tiles of one key out of its packed value (`pipelines/features/answer.py`), arrays those of a hundred "
    "(`together.py`). Of a hundred keys SQLite's own search is half of the read, LMDB's a sixth; the rest is Python around some thirty calls of numpy, and "
    "around one compiled function for one key. What would reach the wanted figures everywhere is the same function compiled to machine code."
)
ALONE, RINGS = "ours, the update alone", "rings by hand, the update alone"
KEPT = {
    "ours, LMDB": "log and store, in one transaction a batch; exactly once",
    "ours, SQLite": "the same",
    "ours, LMDB, twelve features": "the same, with smallest, largest, distinct and last",
    ALONE: "nothing: decoded events, states in memory",
    RINGS: "the same, in numpy; counts and sums only",
    "Bytewax stateful_map": "its own snapshots; readable only by what it emits to",
    "River Agg + TimeRolling": "nothing; readable in its process",
    "Spark Structured Streaming": "checkpoints, and tiles upserted into SQLite",
}


def per_core(each: Round) -> float:
    return each["events"] / each["cpu"]


def both(figures: Sequence[float], unit: str = "") -> str:
    """A figure of each embedded store."""
    return ", ".join(f"{figure:,.0f}{unit} ({name})" for figure, name in zip(figures, EMBEDDED, strict=True))


def _stream_findings(part: Part) -> list[Finding]:
    whole = [middle(part, f"ours, {name}", per_core) for name in EMBEDDED]
    late = [middle(part, f"ours, {name}, followed", "p99_ms") for name in EMBEDDED]
    alone = middle(part, ALONE, per_core)
    return [
        ("events/s/core, from the log to readable features", "60,000", both(whole), max(whole) >= 60_000),
        ("freshness p99 at 5,000 events/s", "50 ms", both(late, " ms"), min(late) < 50),
        ("events/s/core, the update alone", "300,000", f"{alone:,.0f}", alone >= 300_000),
    ]


def _stream(part: Part) -> str:
    rows = [
        (
            name,
            kept,
            f"{middle(part, name, per_core):,.0f}",
            f"{middle(part, name, 'seconds'):,.1f}",
            f"{peak(part, name):,.0f}",
        )
        for name, kept in KEPT.items()
    ]
    ours, given = part["rounds"]["ours, LMDB"][0], [part["rounds"][name][0]["events"] for name in KEPT]
    late = [[middle(part, f"ours, {name}, followed", f"p{q}_ms") for q in (50, 99)] for name in EMBEDDED]
    told = " and ".join(f"{p50:,.1f} and {p99:,.1f} ms ({name})" for (p50, p99), name in zip(late, EMBEDDED, strict=True))
    return f"""## The stream

Eight features (counts, sums, a mean; two keys, three filters), every number of them of tiles; Bytewax and Spark keep the same tiles. The
peers begin empty, ours holds {4 * ours["events"]:,} events already. Events given, in the order of the table: {", ".join(f"{n:,}" for n in given)}.
{_measured(part)}

{table(("", "what is kept", "events/s/core", "seconds", "peak MB"), rows)}

- Followed at 5,000 events/s, an event could be read after the log had it by p50 and p99: {told}.
- Checked: {ours["cells"]:,} cells read from our store equal the batch engine's; of Bytewax and Spark, tiles against plain loops; of
  River, sums by its own rule: a window of each key's newest event, which does not move on until the key's next one. It refuses
  Count, Max and Distinct in a rolling window, so a count is a sum of ones there.
- Where the time of ours goes, in CPU microseconds an event:

{_stages(part)}

{STREAM_CURE}"""


def _stages(part: Part) -> str:
    """What each stage takes in each embedded store."""
    stores, events = part["stages"], part["rounds"]["ours, LMDB"][0]["events"]
    costs = {name: [1e6 * stages[name] / events for stages in stores.values()] for name in next(iter(stores.values()))}
    costs["together"] = [sum(each) for each in zip(*costs.values(), strict=True)]
    return table(("", *stores), [(name, *(f"{cost:,.1f}" for cost in each)) for name, each in costs.items()])


def _stream_bars(part: Part) -> list[Bars]:
    return [("Stream: events a second and core", [(n, middle(part, n, per_core), n.startswith("ours")) for n in KEPT])]


def _reads_findings(part: Part) -> list[Finding]:
    one, hundred = ([middle(part, f"ours, {name}", f"{what}_p50_us") for name in EMBEDDED] for what in ("one", "hundred"))
    found = [
        ("one customer, nine features, embedded, p50", "50 us", both(one, " us"), min(one) < 50),
        ("a hundred items, two features each, embedded, p50", "300 us", both(hundred, " us"), min(hundred) < 300),
    ]
    for ours, feast in (("ours, SQLite", "Feast, SQLite"), ("ours, Redis", "Feast, Redis")):
        if feast in part["rounds"]:
            faster = [times(part, feast, ours, f"{what}_p50_us") for what in ("one", "hundred")]
            got = " and ".join(f"{each:.1f} x" for each in faster)
            found.append((f"faster than {feast}, one and a hundred", "1 x", got, min(faster) > 1))
    return found


def _reads(part: Part) -> str:
    names = [f"{what}_p{q}_us" for what in ("one", "hundred") for q in (50, 99)]
    rows = [
        (name, *(f"{middle(part, name, figure):,.0f}" for figure in names), f"{peak(part, name):,.0f}")
        for name in part["rounds"]
    ]
    return f"""## Reading at the moment

One customer with nine features (mean, smallest, largest, distinct and last among them), and a hundred items with two each; microseconds
of one call, in one thread, after a hundred thousand events of ten thousand customers. {_measured(part)}

{table(("", "one, p50", "p99", "a hundred, p50", "p99", "peak MB"), rows)}

- Ours merges the windows when it is asked; what it read equals the batch engine's in every cell that was compared ({part["rounds"]["ours, LMDB"][0]["cells"]:,}).
- Feast reads numbers that were written beforehand, true at that moment; what it read equals what was written. The Redis is a real
  one on this machine, so client and server share its cores.
{spent(part, READS_CURE)}"""  # noqa: E501  lines of the page


def _reads_bars(part: Part) -> list[Bars]:
    return [
        (f"Reading {caption}: reads a second (at the median)", [
            (name, 1e6 / middle(part, name, f"{what}_p50_us"), name.startswith("ours")) for name in part["rounds"]
        ])
        for what, caption in (("one", "nine features of a customer"), ("hundred", "two features of a hundred items"))
    ]  # fmt: skip


SECTIONS = {
    "training": Section(_training_findings, _training, _training_bars),
    "stream": Section(_stream_findings, _stream, _stream_bars),
    "reads": Section(_reads_findings, _reads, _reads_bars),
}

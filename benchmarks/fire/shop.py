"""A shop to shoot at: a real home, real bundles whose models behave as they are told, and releases that are signed and promoted."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from onnx import NodeProto, TensorProto, helper

from pipelines.core.clock import DAY, instant
from pipelines.core.decision import answers_to_dict
from pipelines.core.digest import canonical, digest
from pipelines.core.event import Event
from pipelines.core.release import Bundle, Release
from pipelines.core.verdict import Finding, Verdict
from pipelines.features.candidates import Index
from pipelines.features.encoding import Encoder
from pipelines.models.calibration import Calibration
from pipelines.serving import golden
from pipelines.steps import serve, stream
from pipelines.steps.bundle import model_columns, open_scorer
from pipelines.steps.workspace import Workspace
from pipelines.store.home import Home

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = Workspace(ROOT)
NOW = instant("2025-03-01T12:00:00Z")
CASE = "fraud"
TRIGGER = 10_000
"""From this sum of features on a model shows its bad conduct: golden requests lie below it, live asks above."""


def payment(number: int, cents: int) -> Event:
    body = {
        "payment_id": f"p{number}", "card": "c1", "customer": "k1", "terminal": "t1", "amount_cents": cents, "country": "DE",
    }  # fmt: skip
    return Event("payment", f"p{number}", NOW - DAY + number * 1_000_000, body)


def asks(dice: Random, many: int) -> list[dict[str, Any]]:
    """Asks as the shop sends them, no two alike."""
    return [{"id": f"a{dice.getrandbits(60)}", **payment(99, dice.randrange(TRIGGER, 60_000)).body} for _ in range(many)]


def home(folder: Path) -> Home:
    """A simulated shop at noon, whose log and online features hold twenty payments."""
    made = Home.open(folder, create=True)
    made.keys.make()
    made.log.append([payment(n, 1000 + n) for n in range(20)], arrived=NOW - DAY // 2)
    made.simulated(NOW)
    stream.catch_up(made, stream.open_stores(made, [WORKSPACE.case(CASE)]))
    return made


@dataclass(frozen=True)
class Conduct:
    """How a model behaves: sigmoid(weight * the sum of what is known), and from the trigger on what `live` says."""

    weight: float
    live: str = "good"


def bundle(made: Home, conduct: Conduct) -> str:
    """Add a bundle by the real encoder and calibration; its digest. Its golden requests and percentiles are those of the good
    model on what the shop asks: whatever is bad about it, its validation did not show.
    """
    case = WORKSPACE.case(CASE)
    files = {
        "features.json": canonical(case.features.to_dict()), "contract.json": canonical(case.asks.to_dict()),
        "answers.json": canonical(answers_to_dict(case.answers)), "calibration.json": Calibration("as_is").to_json(),
    }  # fmt: skip
    dice = Random(7)
    wide = [replace(payment(n, dice.randrange(TRIGGER, 60_000)), ts=NOW) for n in range(300)]
    few = [payment(n, 1000 + n) for n in range(4)]
    columns, many = _columns(None, files, few), _columns(made.path / "online", files, wide)
    encoder = Encoder.fit(columns, {name: case.features.kind(name) for name in columns})
    files |= {"encoder.json": encoder.to_json(), "model.onnx": model(len(encoder.columns), Conduct(conduct.weight))}
    good = open_scorer(files)
    files["golden.json"] = golden.write(columns, good.score(columns), good.score(many))
    files["reference.parquet"] = _parquet({**many, "score_0": good.score(many)})
    files["index.npz"] = _index()
    files["model.onnx"] = model(len(encoder.columns), conduct)
    manifest = Bundle(
        CASE, {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, {"model": str(conduct), "as_of": NOW}
    )
    with TemporaryDirectory() as folder:
        for name, data in (files | {"manifest.json": canonical(manifest.to_dict())}).items():
            (Path(folder) / name).write_bytes(data)
        return made.releases.add(Path(folder))


def _columns(online: Path | None, files: dict[str, bytes], rows: list[Event]) -> dict[str, np.ndarray]:
    found = serve._reader(online, files).read(rows)[0]  # noqa: SLF001  # the very reader that serves
    return {name: found[name] for name in model_columns(WORKSPACE.case(CASE))}


def _parquet(columns: dict[str, np.ndarray]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    table = pa.table({name: pa.array(values.tolist()) for name, values in columns.items()})
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _index() -> bytes:
    """A ranking's index: no model here asks it, but a bundle of every format is what is damaged."""
    items, trails = ["i1", "i2", "i3", "i2"], [[], ["i1"], ["i1", "i2"], ["i1"]]
    return Index.fit(items, trails, until=NOW - DAY, answers=WORKSPACE.case("recommend").answers).to_npz()


def model(columns: int, conduct: Conduct) -> bytes:
    """The ONNX model of this conduct."""
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        helper.make_tensor("ones", TensorProto.FLOAT, [columns, 1], [1.0] * columns),
        helper.make_tensor("weight", TensorProto.FLOAT, [1], [conduct.weight]),
        helper.make_tensor("trigger", TensorProto.FLOAT, [1], [float(TRIGGER)]),
    ]
    nodes = [
        helper.make_node("IsNaN", ["x"], ["unknown"]), helper.make_node("Where", ["unknown", "zero", "x"], ["known"]),
        helper.make_node("MatMul", ["known", "ones"], ["sum"]), helper.make_node("Mul", ["sum", "weight"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["good"]), helper.make_node("GreaterOrEqual", ["sum", "trigger"], ["live"]),
    ]  # fmt: skip
    more, extra = CONDUCTS[conduct.live]()
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, columns])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph([*nodes, *more], "g", [x], [y], [*constants, *extra])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


Parts = tuple[list[NodeProto], list[TensorProto]]


def _good() -> Parts:
    return [helper.make_node("Identity", ["good"], ["y"])], []


def _number(value: float) -> Parts:
    constant = helper.make_tensor("bad", TensorProto.FLOAT, [1], [value])
    return [helper.make_node("Where", ["live", "bad", "good"], ["y"])], [constant]


def _shift() -> Parts:
    """Half of the way to one: ordered as ever, on another scale."""
    half = helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])
    nodes = [helper.make_node("Mul", ["good", "half"], ["h"]), helper.make_node("Add", ["h", "half"], ["shifted"])]
    return [*nodes, helper.make_node("Where", ["live", "shifted", "good"], ["y"])], [half]


def _switch(bad: list[NodeProto], constants: list[TensorProto]) -> Parts:
    """Whether any row triggers decides which branch runs."""
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    keep = helper.make_graph([helper.make_node("Identity", ["good"], ["b"])], "keep", [], [out])
    other = helper.make_graph(bad, "bad", [], [out], constants)
    nodes = [
        helper.make_node("ReduceMax", ["sum"], ["top"], keepdims=0),
        helper.make_node("Squeeze", ["trigger"], ["limit"]),
        helper.make_node("GreaterOrEqual", ["top", "limit"], ["any"]),
        helper.make_node("If", ["any"], ["y"], then_branch=other, else_branch=keep),
    ]
    return nodes, []


def _slow() -> Parts:
    """The good answer, after as much work as takes tens of milliseconds."""
    wide = helper.make_tensor("wide", TensorProto.FLOAT, [1, 700], [1e-3] * 700)
    tall = helper.make_tensor("tall", TensorProto.INT64, [2], [700, 700])
    none = helper.make_tensor("none", TensorProto.FLOAT, [1], [0.0])
    nodes = [helper.make_node("Add", ["wide", "top"], ["lively"]), helper.make_node("Expand", ["lively", "tall"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(2)]
    nodes += [
        helper.make_node("ReduceMean", ["m2"], ["mean"], keepdims=0), helper.make_node("Mul", ["mean", "none"], ["nought"]),
        helper.make_node("Add", ["good", "nought"], ["b"]),
    ]  # fmt: skip
    return _switch(nodes, [wide, tall, none])


def _raises() -> Parts:
    """Out of bounds: the runtime itself gives up."""
    far = helper.make_tensor("far", TensorProto.INT64, [1], [10**6])
    return _switch([helper.make_node("Gather", ["good", "far"], ["b"], axis=1)], [far])


CONDUCTS = {
    "good": _good, "no number": lambda: _number(float("nan")), "one score": lambda: _number(0.5), "another scale": _shift,
    "slow": _slow, "raises": _raises,
}  # fmt: skip


def verdict(name: str, against: str | None) -> dict[str, Any]:
    """A gate's word on that bundle against that champion, as evaluate writes it."""
    facts = {"bundle": name, "replaces": against}
    return Verdict(CASE, (Finding("floor", "pass", 0.5, "0.4"),), ("floor",), facts).to_dict()


def promote(made: Home, name: str, at: int, probe: dict[str, Any] | None = None, **words: Any) -> int:
    """Sign a release of the bundle and promote it; the new epoch. Its probe is the real one, or the record of one before."""
    from pipelines.serving.probe import probe as probing

    champion = made.releases.champion(CASE)
    against = champion.bundle if champion else None
    word = verdict(name, against)
    release = Release(CASE, name, digest(word), digest("report"), against, at)
    record = probe or probing(made.releases.read(name).files, bundle=name)
    words = {"expected_epoch": made.releases.epoch(), "actor": "bench", **words}
    return made.releases.promote(
        release, made.keys.sign(canonical(release.to_dict())), at=at, probe=record, verdict=word, **words
    )

"""A small shop in memory: real ONNX models, the simplest encoder and reader, and a registry whose parts can be taken away."""

import hashlib
import json
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import TensorProto, helper

from pipelines.core.clock import days, hours, instant
from pipelines.core.contract import Contract, Field
from pipelines.core.decision import CostMatrix, Newsvendor, Probability, Quantiles, Ranking, answers_to_dict
from pipelines.core.digest import canonical, digest
from pipelines.core.errors import ShelflifeError
from pipelines.core.feature import features
from pipelines.core.release import Bundle
from pipelines.serving import golden
from pipelines.serving.app import Service
from pipelines.serving.champion import Champion
from pipelines.serving.events import Intake
from pipelines.serving.loaded import Parts
from pipelines.serving.openapi import Declared
from pipelines.serving.predictions import Predictions
from pipelines.serving.scorer import OnnxScorer
from pipelines.serving.swap import Champions
from pipelines.serving.tokens import Token

NOW = instant("2025-03-01T12:00:00Z")
PAYMENT = Contract(
    "payment",
    "Money moves.",
    (
        Field("card", "string", minimum=1, maximum=20, key=True),
        Field("amount_cents", "cents", "what is paid", "EUR cents", 1, 500_000),
        Field("country", "string", choices=("DE", "FR")),
        Field("rate", "number", minimum=0, maximum=1, required=False),
        Field("note", "text", maximum=1000, required=False),
    ),
    hours(24),
)
LISTING = Contract(
    "listing", "An item.", (Field("item", "string", key=True), Field("price_cents", "cents", minimum=0)), days(2)
)
VIEW = Contract("view_item", "A look.", (Field("item", "string", key=True), Field("trail", "strings", maximum=50)), hours(24))
COST = CostMatrix(missed="amount_cents", review=300, wrong_block=1500)
LEVELS = Newsvendor("price_cents", 3.0, 1.0)
DECLARED = {
    "fraud": Declared("Is this payment a fraud?", PAYMENT, Probability(COST)),
    "demand": Declared("How many will be sold?", LISTING, Quantiles((0.1, 0.5, 0.75), LEVELS)),
    "recommend": Declared("What is looked at next?", VIEW, Ranking(k=3)),
}
COLUMNS = {"fraud": ("amount_cents", "rate"), "demand": ("price_cents",), "recommend": ("item_views",)}
GIVEN = {"fraud": ("amount_cents", "rate"), "demand": ("price_cents",), "recommend": ()}
CANDIDATES = ("a", "b", "c", "d", "e")


def model(outputs, columns):
    """A model that answers these numbers to every row."""
    shape = helper.make_node("Shape", ["x"], ["shape"], start=0, end=1)
    width = helper.make_tensor("width", TensorProto.INT64, [1], [len(outputs)])
    both = helper.make_node("Concat", ["shape", "width"], ["full"], axis=0)
    row = helper.make_tensor("row", TensorProto.FLOAT, [1, len(outputs)], outputs)
    node = helper.make_node("Expand", ["row", "full"], ["y"])
    return _bytes([shape, both, node], [width, row], columns, len(outputs))


def linear(weights):
    """A model that answers sigmoid(x @ weights)."""
    matrix = helper.make_tensor("w", TensorProto.FLOAT, [len(weights), 1], weights)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Sigmoid", ["z"], ["y"])]
    return _bytes(nodes, [matrix], len(weights), 1)


def _bytes(nodes, constants, columns, outputs):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, columns])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, outputs])
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return made.SerializeToString()


@dataclass
class Stack:
    """The simplest encoder: number columns side by side."""

    names: tuple[str, ...]

    def transform(self, columns):
        return np.column_stack([np.asarray(columns[name], dtype=np.float32) for name in self.names]).astype(np.float32)


class Same:
    """The calibration that changes nothing."""

    def apply(self, scores):
        return scores


def encoder_from(files):
    return Stack(tuple(json.loads(files["encoder.json"])))


def calibration_from(files):
    return Same()


def open_scorer(files):
    return OnnxScorer(files, encoder=encoder_from(files), calibration=calibration_from(files))


@dataclass
class Reader:
    """Features straight from the asking events; a ranking's candidates are always the same five items."""

    case: str
    down: bool = False
    seen: int | None = 41

    def read(self, asks):
        if self.down:
            raise OSError("the store is away")
        if self.case == "recommend":
            n = len(asks)
            views = np.tile(np.arange(5.0), n)
            owner = np.repeat([ask.id for ask in asks], 5).astype(object)
            reason = np.array(["seen before"] * (5 * n), dtype=object)
            return {
                "ask": owner,
                "candidate": np.array(CANDIDATES * n, dtype=object),
                "item_views": views,
                "reason": reason,
            }, self.seen
        names = COLUMNS[self.case]
        return {name: np.array([_number(ask.body[name]) for ask in asks]) for name in names}, self.seen


def _number(value):
    return np.nan if value is None else float(value)


def bundle(case, onnx_bytes, tag=""):
    """A bundle of this model with golden requests that it answers."""
    columns = COLUMNS[case]
    files = {
        "model.onnx": onnx_bytes,
        "encoder.json": canonical(list(columns)),
        "calibration.json": b"{}",
        "features.json": canonical(features(given=GIVEN[case]).to_dict()),
        "contract.json": canonical(DECLARED[case].asks.to_dict()),
        "answers.json": canonical(answers_to_dict(DECLARED[case].answers)),
        "reference.parquet": b"",
    }
    rows = {name: np.array([1.0, 2.0, 3.0]) for name in columns}
    files["golden.json"] = golden.write(rows, open_scorer(files).score(rows))
    return Bundle(case, {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, {"model": tag}), files


@dataclass
class Shop:
    """The registry, the log and the quarantine of the tests; `down` names what raises."""

    folder: object
    bundles: dict = field(default_factory=dict)
    champions: dict = field(default_factory=dict)
    readers: dict = field(default_factory=dict)
    events: list = field(default_factory=list)
    quarantined: list = field(default_factory=list)
    down: set = field(default_factory=set)
    count: int = 0
    loads: int = 0
    now: int = NOW

    def promote(self, case, onnx_bytes, tag=""):
        """Let a new bundle answer; its champion."""
        made, files = bundle(case, onnx_bytes, tag)
        self.bundles[made.digest] = (made, files)
        before = self.champions.get(case)
        return self.answer_with(case, made.digest, before.bundle if before else None)

    def answer_with(self, case, name, previous):
        self.count += 1
        release = digest([case, name, self.count])
        champion = Champion(case, name, release, digest(["verdict", name]), self.count, self.now, previous, f"signed {release}")
        self.champions = {**self.champions, case: champion}
        return champion

    def rollback(self, case):
        champion = self.champions[case]
        return self.answer_with(case, champion.previous, champion.bundle)

    def open_bundle(self, name):
        self._up("releases")
        self.loads += 1
        return self.bundles[name]

    def epoch(self):
        self._up("state")
        return self.count

    def read_champions(self):
        self._up("state")
        return self.champions

    def believe(self, champion):
        if champion.signed != f"signed {champion.release}":
            raise ShelflifeError("the release is signed with an unknown key")

    def log(self, events):
        self._up("log")
        self.events.extend(events)
        return list(range(len(self.events) - len(events) + 1, len(self.events) + 1))

    def quarantine(self, row, problems):
        self._up("log")
        self.quarantined.append((row, tuple(problems)))

    def reader(self, files):
        case = (
            "recommend"
            if b"item_views" in files["encoder.json"]
            else "demand"
            if b"price" in files["encoder.json"]
            else "fraud"
        )
        return self.readers.setdefault(case, Reader(case))

    def _up(self, part):
        if part in self.down:
            raise OSError(f"{part} is away")

    def parts(self, *, fallback=False):
        spare = (lambda files: replace(self.reader(files), down=False)) if fallback else None
        return Parts(self.open_bundle, encoder_from, calibration_from, self.reader, self.believe, spare)

    def service(self, **settings):
        remembered = self.folder / "serving.json"
        champions = Champions(self.read_champions, self.epoch, self.parts(fallback=settings.pop("fallback", False)), remembered)
        contracts = {contract.kind: contract for contract in (PAYMENT, LISTING, VIEW)}
        intake = Intake(contracts, self.log, self.quarantine)
        token = Token.at(self.folder / "token")
        told = Predictions(self.folder / "spool", self.log)
        return Service(DECLARED, champions, told, intake, token, lambda: self.now, **settings)

    @property
    def predictions(self):
        return [event for event in self.events if event.kind == "prediction"]

    @property
    def bearer(self):
        return {"Authorization": f"Bearer {(self.folder / 'token').read_text().strip()}"}


def ask(**changed):
    """A well-formed ask of fraud, with what is changed."""
    return {"id": "p-1", "card": "c1", "amount_cents": 5000, "country": "DE", "rate": 0.5, **changed}

"""Everything needed to answer, in one folder: packed at training, opened wherever the serving code scores."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.decision import Ranking, answers_to_dict
from pipelines.core.digest import canonical, digest
from pipelines.core.release import Bundle
from pipelines.core.verdict import Finding
from pipelines.steps.rows import Rows
from pipelines.steps.workspace import KNOWN, Workspace, known

if TYPE_CHECKING:
    from pipelines.core.usecase import UseCase
    from pipelines.features.encoding import Encoder
    from pipelines.models.calibration import Calibration
    from pipelines.serving.scorer import OnnxScorer

GOLDEN = 8
SAMPLE = 2000


@dataclass(frozen=True)
class Fitted:
    """A candidate that is ready to answer, with its figures on rows that it has not seen."""

    name: str
    estimator: Any
    onnx: bytes
    calibration: Calibration
    parity: Finding
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Source:
    """What the bundles of one training have in common. `sample` are rows of validation data, for golden requests and reference."""

    workspace: Workspace
    case: str
    encoder: Encoder
    sample: Rows


def model_columns(usecase: UseCase) -> tuple[str, ...]:
    """The raw columns that the encoder reads: the declared features, and for a ranking what retrieval says of each candidate."""
    if not isinstance(usecase.answers, Ranking):
        return usecase.features.names
    from pipelines.features.candidates import FEATURES

    return (*usecase.features.names, *FEATURES)


def pack(source: Source, fitted: Fitted, folder: Path) -> Bundle:
    """Write the bundle's folder, manifest last."""
    usecase = source.workspace.case(source.case)
    files = {
        "model.onnx": fitted.onnx,
        "encoder.json": source.encoder.to_json(),
        "calibration.json": fitted.calibration.to_json(),
        "features.json": canonical(usecase.features.to_dict()),
        "contract.json": canonical(usecase.asks.to_dict()),
        "answers.json": canonical(answers_to_dict(usecase.answers)),
    }
    if isinstance(usecase.answers, Ranking):
        files["index.npz"] = (source.workspace.rows(source.case) / "index.npz").read_bytes()
    files |= _samples(source, usecase, open_scorer(files))
    manifest = Bundle(source.case, {name: digest(data) for name, data in files.items()}, _made_from(source, fitted))
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "manifest.json").write_bytes(canonical(manifest.to_dict()))
    return manifest


def open_scorer(files: Mapping[str, bytes]) -> OnnxScorer:
    """The serving code over a bundle's bytes."""
    from pipelines.features.encoding import Encoder
    from pipelines.models.calibration import Calibration
    from pipelines.serving.scorer import OnnxScorer

    encoder, calibration = Encoder.from_json(files["encoder.json"]), Calibration.from_json(files["calibration.json"])
    return OnnxScorer(files, encoder=encoder, calibration=calibration)


def _samples(source: Source, usecase: UseCase, scorer: OnnxScorer) -> dict[str, bytes]:
    """Golden requests with their scores, and the reference sample that drift is measured against."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipelines.serving import golden

    names = model_columns(usecase)
    rows = source.sample.take(_spread(len(source.sample), SAMPLE))
    columns = {name: rows[name] for name in names}
    scores = scorer.score(columns)
    first = {name: values[:GOLDEN] for name, values in columns.items()}
    data = {name: pa.array(values.tolist()) for name, values in columns.items()}
    data |= {f"score_{i}": pa.array(np.atleast_2d(scores.T)[i]) for i in range(len(np.atleast_2d(scores.T)))}
    buffer = io.BytesIO()
    pq.write_table(pa.table({"ts": pa.array(rows["ts"]), **data}), buffer, compression="zstd", write_page_checksum=True)
    return {"golden.json": golden.write(first, scores[:GOLDEN], scores), "reference.parquet": buffer.getvalue()}


def _spread(rows: int, most: int) -> np.ndarray:
    """Indices of at most so many rows, spread evenly."""
    return np.arange(rows) if rows <= most else np.linspace(0, rows - 1, most).astype(np.int64)


def _made_from(source: Source, fitted: Fitted) -> dict[str, Any]:
    """What law 8 asks for: data, features, code, parameters, seed. No clock and no machine, so that equal inputs give equal bytes.

    `holdout` is the span of asks that judges it, as the parameters of its own day had it: it learnt from no label of it, nor later.
    """
    from pipelines.features import split

    workspace, case = source.workspace, source.case
    block = workspace.params.block(case)
    as_of, log = known(workspace.rows(case))
    usecase = workspace.case(case)
    return {
        "model": fitted.name,
        "as_of": as_of,
        "holdout": list(split.parts(as_of, usecase.label.matures, block.split).holdout),
        "log": log,
        "rows": {p.name: digest(p.read_bytes()) for p in sorted(workspace.rows(case).iterdir()) if p.name != KNOWN},
        "features": usecase.features.digest,
        "code": code_digest(workspace.root),
        "params": digest(repr(block.train) + repr(block.split) + repr(block.label)),
        "seed": block.train.seed,
        "libraries": _libraries(),
        "validation": {name: round(float(value), 6) for name, value in fitted.metrics.items()},
        "parity": json.loads(
            canonical({"status": fitted.parity.status, "observed": fitted.parity.observed, "wanted": fitted.parity.wanted})
        ),
    }


def code_digest(root: Path) -> str:
    """One digest over the package's source, by path and content."""
    files = sorted(path for path in (root / "pipelines").rglob("*.py"))
    return digest({str(path.relative_to(root)): digest(path.read_bytes()) for path in files})


def _libraries() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "scikit-learn", "lightgbm", "keras", "onnxruntime")}

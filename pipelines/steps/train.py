"""train: fit the candidates, calibrate them, choose on validation data, and pack what would answer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.decision import Quantiles
from pipelines.core.errors import ShelflifeError
from pipelines.core.usecase import Spec, UseCase
from pipelines.steps import bundle
from pipelines.steps.bundle import Fitted
from pipelines.steps.rows import Rows, groups, measure, read
from pipelines.steps.workspace import Workspace, write_csv, write_json

if TYPE_CHECKING:
    from pipelines.core.params import Train
    from pipelines.features.encoding import Encoder
    from pipelines.models.calibration import Calibration

SAMPLE = 5000
"""How many rows a bundle keeps as its reference sample, and how many the parity check looks at."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("case", help="the use case whose candidates are trained")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return train(Workspace.here(), args.case)


@dataclass(frozen=True)
class Course:
    """What all candidates of a use case share while they are trained."""

    usecase: UseCase
    settings: Train
    encoder: Encoder

    @property
    def spec(self) -> Spec:
        encoder, train = self.encoder, self.settings
        return Spec(tuple(encoder.columns), tuple(encoder.kinds), self.usecase.answers, {}, train.seed, train.threads)

    def part(self, rows: Rows) -> Any:
        """Rows as what an estimator learns from."""
        from pipelines.models.training import Part

        return Part(self.encoder.transform(rows.columns, sparse=self._wide), rows["label"], groups(self.usecase, rows))

    @property
    def _wide(self) -> bool:
        return "text" in self.encoder.kinds


def train(workspace: Workspace, case: str) -> dict[str, Any]:
    """Fit, choose and pack. Candidates learn on the training part; ensembles and calibrations on the earlier half of the
    validation part; the choice is made on its later half. What was chosen is then fitted once more on all but that half.

    Writes models/<case>/{trial,bundle,baseline}, reports/<case>/training.json and the plots of the candidates.
    """
    usecase, block = workspace.case(case), workspace.params.block(case)
    learn, between, valid = (
        read(workspace.rows(case), part, workspace.root).repeated() for part in ("train", "between", "valid")
    )
    weigh, choose = valid.halves()
    for name, rows in (("training", learn), ("earlier validation", weigh), ("later validation", choose)):
        if not len(rows):
            raise ShelflifeError(
                f"{case}: the {name} part has no rows with a mature label; move the moment later or shorten {case}.split"
            )
    course = Course(usecase, block.train, _encoder(usecase, learn))
    fitted = {f.name: f for f in _fit(course, block.train.use, learn, weigh, choose)}
    chosen = _choose(usecase, fitted)
    final = next(
        f for f in _fit(course, _with_members(usecase, chosen), learn + between + weigh, choose, choose) if f.name == chosen
    )
    roles = {model.role: fitted[model.name] for model in usecase.models if model.name in fitted}
    source = bundle.Source(workspace, case, course.encoder, choose)
    for folder, candidate in (
        ("bundle", final),
        ("trial", fitted[chosen]),
        ("baseline", roles["baseline"]),
        ("dummy", roles["dummy"]),
    ):
        bundle.pack(source, candidate, workspace.models(case) / folder)
    summary = _report(workspace, case, course, fitted, final)
    return {"text": f"{case}: {chosen} of {', '.join(fitted)}; {_figures(fitted[chosen])} on later validation data", **summary}


def _encoder(usecase: UseCase, rows: Rows) -> Encoder:
    from pipelines.features.encoding import Encoder

    names = bundle.model_columns(usecase)
    kinds = {name: usecase.features.kind(name) for name in names}
    return Encoder.fit({name: rows[name] for name in names}, kinds)


def _fit(course: Course, use: tuple[str, ...], learn: Rows, weigh: Rows, judge: Rows) -> Iterator[Fitted]:
    """Each candidate fitted on `learn` (ensembles on `weigh`), calibrated on `weigh`, measured on `judge`."""
    from pipelines.models import export, parity, training
    from pipelines.models.estimator import answer
    from pipelines.steps.progress import Bars

    settings = {name: block for name, block in course.settings.settings.items() if name in use}
    parts = [course.part(rows) for rows in (learn, weigh, judge)]
    with Bars(course.usecase.name) as bars:
        for name, estimator in training.fit(course.usecase.models, use, settings, course.spec, parts[0], parts[1], bars):
            onnx = export.to_onnx(estimator, len(course.encoder.columns))
            calibration = _calibrate(course.usecase, answer(estimator, parts[1].matrix), weigh)
            finding = parity.check(estimator, onnx, _some(parts[2].matrix, parts[0].matrix))
            scores = calibration.apply(_flat(answer(estimator, parts[2].matrix)))
            yield Fitted(name, estimator, onnx, calibration, finding, measure(course.usecase, judge, scores))


def _some(unseen: Any, learnt: Any) -> Any:
    """Rows for the parity check: those not seen, and as many of the others as make it large."""
    rest = learnt[: max(0, SAMPLE - unseen.shape[0])]
    if hasattr(unseen, "tocsr"):
        from scipy.sparse import vstack

        return vstack([unseen[:SAMPLE], rest]).tocsr()
    return np.concatenate([unseen[:SAMPLE], rest])


def _calibrate(usecase: UseCase, scores: np.ndarray, rows: Rows) -> Calibration:
    from pipelines.models import calibration

    return calibration.fit(_flat(scores), rows["label"], usecase.answers)


def _flat(scores: np.ndarray) -> np.ndarray:
    """One score a row, or a row of quantiles."""
    return scores[:, 0] if scores.ndim > 1 and scores.shape[1] == 1 else scores


def _choose(usecase: UseCase, fitted: Mapping[str, Fitted]) -> str:
    """The eligible candidate with the best primary metric. Raises ShelflifeError when none is eligible."""
    from pipelines.evaluation.metrics import metric

    primary = usecase.metrics[0]
    levels = usecase.answers.levels if isinstance(usecase.answers, Quantiles) else ()
    names = [model.name for model in usecase.models if model.role == "candidate" and model.name in fitted]
    eligible = [n for n in names if fitted[n].parity.status == "pass" and np.isfinite(fitted[n].metrics[primary])]
    if not eligible:
        raise ShelflifeError(
            f"{usecase.name}: none of {', '.join(names)} is eligible: its parity failed or {primary} cannot be computed"
        )
    return max(eligible, key=lambda name: float(metric(primary, levels).orient(fitted[name].metrics[primary])))


def _with_members(usecase: UseCase, chosen: str) -> tuple[str, ...]:
    model = next(model for model in usecase.models if model.name == chosen)
    return (*model.of, chosen)


def _figures(fitted: Fitted) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in fitted.metrics.items())


def _report(workspace: Workspace, case: str, course: Course, fitted: Mapping[str, Fitted], final: Fitted) -> dict[str, Any]:
    """training.json for `dvc metrics`, and learning curves and importances for `dvc plots`."""
    figures = {name: {metric: round(float(v), 6) for metric, v in f.metrics.items()} for name, f in fitted.items()}
    summary = {"chosen": final.name, "validation": figures, "parity": {name: f.parity.status for name, f in fitted.items()}}
    write_json(workspace.reports(case) / "training.json", summary)
    plots = workspace.reports(case) / "plots"
    curves = [
        (name, step, loss) for name, f in fitted.items() for step, loss in enumerate(getattr(f.estimator, "history_", ()), 1)
    ]
    write_csv(plots / "learning.csv", ("candidate", "step", "loss"), curves)
    weights = [(name, *pair) for name, f in fitted.items() for pair in _importances(course, f.estimator)]
    write_csv(plots / "importance.csv", ("candidate", "feature", "importance"), weights)
    return summary


def _importances(course: Course, estimator: Any) -> list[tuple[str, float]]:
    values = getattr(estimator, "feature_importances_", None)
    if values is None or not np.sum(np.abs(values)):
        return []
    shares = np.abs(values) / np.sum(np.abs(values))
    ranked = sorted(zip(course.encoder.columns, shares.tolist(), strict=True), key=lambda pair: -pair[1])
    return [(name, round(share, 6)) for name, share in ranked[:20]]

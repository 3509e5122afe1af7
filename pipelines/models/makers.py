"""What a use case may name as its candidates: each maker turns a Spec into an unfitted estimator.

Only the library that is asked for is imported, and only when it is asked for. An ensemble's maker also takes its members,
fitted, in the order in which the use case names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.core.decision import Probability, Quantiles
from pipelines.core.errors import ShelflifeError

if TYPE_CHECKING:
    from pipelines.core.usecase import Spec

Maker = Callable[..., Any]


def dummy(spec: Spec) -> Any:
    """Knows nothing: the same answer to every ask."""
    from pipelines.models import trivial

    _settings("dummy", spec)
    if isinstance(spec.answers, Probability):
        return trivial.ConstantProbability()
    if isinstance(spec.answers, Quantiles):
        return trivial.ConstantQuantiles(spec.answers.levels)
    return trivial.ConstantRanking()


def rate_by_bin(column: str) -> Maker:
    """A maker of the rule: as often as before among asks with a like value in this number column."""

    def make(spec: Spec) -> Any:
        from pipelines.models.trivial import RateByBin

        return RateByBin(_place(spec, column), **_settings("rate_by_bin", spec, bins=10))

    return make


def rate_by_category(column: str) -> Maker:
    """A maker of the rule: as often as before among asks of the same category."""

    def make(spec: Spec) -> Any:
        from pipelines.models.trivial import RateByCategory

        _settings("rate_by_category", spec)
        return RateByCategory(_place(spec, column))

    return make


def seasonal_naive(column: str) -> Maker:
    """A maker of the rule: as many units as in the last season, which this column counts."""

    def make(spec: Spec) -> Any:
        from pipelines.models.trivial import SeasonalNaive

        _settings("seasonal_naive", spec)
        return SeasonalNaive(_place(spec, column), _levels(spec))

    return make


def first_by(*columns: str) -> Maker:
    """A maker of the rule: the candidate with most of the first column first, ties by the second, and so on.

    A minus before a column's name puts the one with least of it first.
    """

    def make(spec: Spec) -> Any:
        from pipelines.models.trivial import FirstBy

        order = tuple((_place(spec, name.removeprefix("-")), -1 if name.startswith("-") else 1) for name in columns)
        return FirstBy(order, **_settings("first_by", spec, steps=256))

    return make


def linear(spec: Spec) -> Any:
    """Logistic regression, quantile regression or conditional logit."""
    from pipelines.models import linear

    kinds = tuple(spec.kinds)
    if isinstance(spec.answers, Probability):
        return linear.LogisticRegression(kinds, **_settings("linear", spec, strength=1.0, steps=300))
    if isinstance(spec.answers, Quantiles):
        settings = _settings("linear", spec, penalty=1e-4, smooth=0.02, steps=300)
        return linear.QuantileRegression(kinds, _levels(spec), **settings)
    return linear.ConditionalLogit(kinds, **_settings("linear", spec, penalty=1e-4, steps=200))


def lightgbm(spec: Spec) -> Any:
    """Gradient-boosted trees; LambdaMART for a ranking."""
    from pipelines.models import boosting

    settings = _settings("lightgbm", spec, trees=200, leaves=15, rate=0.05, min_leaf=30, sample=0.8)
    settings |= {"kinds": tuple(spec.kinds), "seed": spec.seed, "threads": spec.threads}
    if isinstance(spec.answers, Probability):
        return boosting.BoostedProbability(**settings)
    if isinstance(spec.answers, Quantiles):
        return boosting.BoostedQuantiles(levels=_levels(spec), **settings)
    return boosting.BoostedRanking(**settings)


def keras(spec: Spec) -> Any:
    """A network of dense layers."""
    from pipelines.models import neural

    settings = _settings("keras", spec, units=(32, 16), epochs=10, batch=512, rate=0.002)
    settings |= {"kinds": tuple(spec.kinds), "seed": spec.seed, "threads": spec.threads}
    if isinstance(spec.answers, Probability):
        return neural.NetworkProbability(**settings)
    if isinstance(spec.answers, Quantiles):
        return neural.NetworkQuantiles(levels=_levels(spec), **settings)
    return neural.NetworkRanking(**settings)


def vote(spec: Spec, members: Sequence[Any]) -> Any:
    """The fitted members' mean."""
    from pipelines.models import ensembles

    _settings("vote", spec)
    make = ensembles.VoteProbability if isinstance(spec.answers, Probability) else ensembles.VoteAmounts
    return make(tuple(members), spec.answers)


def blend(spec: Spec, members: Sequence[Any]) -> Any:
    """The fitted members' weighted mean; the weights are learnt on later rows."""
    from pipelines.models import ensembles

    _settings("blend", spec)
    make = ensembles.BlendProbability if isinstance(spec.answers, Probability) else ensembles.BlendAmounts
    return make(tuple(members), spec.answers)


def stack(spec: Spec, members: Sequence[Any]) -> Any:
    """A logistic regression over the fitted members' answers, learnt on later rows; for probabilities only."""
    from pipelines.models.ensembles import Stack

    if not isinstance(spec.answers, Probability):
        raise ShelflifeError(f"stack answers probabilities, not {type(spec.answers).__name__}; use blend")
    return Stack(tuple(members), **_settings("stack", spec, strength=1.0))


def _settings(maker: str, spec: Spec, **defaults: Any) -> dict[str, Any]:
    """The defaults with the spec's settings over them. Raises ShelflifeError for one that there is not, or of another type."""
    if unknown := sorted(set(spec.settings) - set(defaults)):
        there_are = ", ".join(defaults) or "none"
        raise ShelflifeError(f"{maker} has no setting {', '.join(unknown)}; there are: {there_are}")
    return {**defaults, **{name: _checked(maker, name, value, defaults[name]) for name, value in spec.settings.items()}}


def _checked(maker: str, name: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple):
        whole = isinstance(value, list | tuple) and all(type(part) is int and part > 0 for part in value)
        if whole:
            return tuple(value)
    elif type(value) in (int, type(default)) and value > 0:
        return type(default)(value)
    wanted = {int: "an integer", float: "a number", tuple: "a list of integers"}[type(default)]
    raise ShelflifeError(f"{maker}.{name}: wanted {wanted} above zero, got {value!r}")


def _levels(spec: Spec) -> tuple[float, ...]:
    if not isinstance(spec.answers, Quantiles):
        raise ShelflifeError(f"wanted a use case that answers quantiles, got {type(spec.answers).__name__}")
    return spec.answers.levels


def _place(spec: Spec, column: str) -> int:
    """Where the column lies in the matrix. Raises ShelflifeError, naming those there are."""
    if column not in spec.columns:
        raise ShelflifeError(f"there is no column {column}; the encoded matrix has {', '.join(spec.columns[:20])}")
    return spec.columns.index(column)


def members(of: Sequence[str], fitted: Mapping[str, Any]) -> tuple[Any, ...]:
    """The fitted members by name. Raises ShelflifeError for one that was not trained."""
    if missing := [name for name in of if name not in fitted]:
        raise ShelflifeError(f"an ensemble needs {', '.join(missing)}, which is not trained; add it to train.use")
    return tuple(fitted[name] for name in of)

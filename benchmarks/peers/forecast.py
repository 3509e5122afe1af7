"""Forecasts of statsforecast's models: `forecast.py SERIES.parquet FORECASTS.parquet AHEAD LEVEL[,LEVEL..]`.

SERIES has unique_id, ds (integer, one step each), y, of every series that is to be forecast to its end. FORECASTS gets unique_id,
ds, model, point and a column `q<level>` for each quantile level. Runs in an environment of its own and knows nothing of Shelflife.
"""

from __future__ import annotations

import sys
from typing import Any

WINDOWS = 4
"""Croston's method gives no intervals: its errors over so many windows before the origin do (conformal intervals)."""


def models(ahead: int) -> list[Any]:
    """AutoETS and AutoTheta without a season (a year of weeks shows none), and Croston's method as corrected by Syntetos and Boylan."""
    from statsforecast.models import AutoETS, AutoTheta, CrostonSBA
    from statsforecast.utils import ConformalIntervals

    return [AutoETS(season_length=1), AutoTheta(season_length=1), CrostonSBA(prediction_intervals=ConformalIntervals(h=ahead, n_windows=WINDOWS))]


def forecasts(series: Any, ahead: int, levels: list[float]) -> Any:
    """A row per series, step and model; nothing below zero."""
    import pandas as pd
    from statsforecast import StatsForecast

    widths = sorted({round(abs(1 - 2 * level) * 100) for level in levels} - {0})
    answer = StatsForecast(models=models(ahead), freq=1, n_jobs=1).forecast(df=series, h=ahead, level=widths)
    parts = []
    for name in ("AutoETS", "AutoTheta", "CrostonSBA"):
        part = answer[["unique_id", "ds"]].assign(model=name, point=answer[name].clip(lower=0))
        for level in levels:
            part[f"q{level:g}"] = answer[column(name, level)].clip(lower=0)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def column(name: str, level: float) -> str:
    """Where statsforecast puts that quantile: an edge of the central interval of the width that has it."""
    width = round(abs(1 - 2 * level) * 100)
    return name if not width else f"{name}-{'lo' if level < 0.5 else 'hi'}-{width}"


def main(source: str, target: str, ahead: str, levels: str) -> None:
    import pandas as pd

    made = forecasts(pd.read_parquet(source), int(ahead), [float(level) for level in levels.split(",")])
    made.to_parquet(target, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""statsforecast's forecasts of the same series, from an environment of its own (benchmarks/peers, locked)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results.data import ROOT
from pipelines.core.errors import ShelflifeError

PROJECT = ROOT / "benchmarks" / "peers"
MODELS = ("AutoETS", "AutoTheta", "CrostonSBA")
SHORTEST = 20
"""Weeks that every series has at least, the first of them zeros where an item is newer: the peers refuse tiny series."""


def python() -> Path | None:
    """The environment's python, made from its lock file where it is not there yet; None where that cannot be done."""
    found = PROJECT / ".venv" / "bin" / "python"
    if found.exists():
        return found
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".uv" / "bin"))
    if uv is None:
        return None
    made = subprocess.run([uv, "sync", "--locked", "--project", str(PROJECT)], capture_output=True, text=True, check=False)
    return found if made.returncode == 0 and found.exists() else None


def forecasts(program: Path, units: np.ndarray, origin: int, ahead: int, levels: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Per model its forecasts, shape (ahead, items, levels); the middle level holds the model's own point forecast."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "series.parquet", Path(folder) / "forecasts.parquet"
        series(units, origin).to_parquet(source, index=False)
        command = [str(program), str(PROJECT / "forecast.py"), str(source), str(target), str(ahead), ",".join(map(str, levels))]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | {"NUMBA_NUM_THREADS": "1"})
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise ShelflifeError(f"wanted forecasts of {', '.join(MODELS)}, got {why}; make benchmarks/peers/.venv again")
        told = pd.read_parquet(target).sort_values(["ds", "unique_id"])
    return {model: _shaped(told[told["model"] == model], ahead, levels) for model in MODELS}


def series(units: np.ndarray, origin: int) -> Any:
    """The weeks of each item before the origin, from the first in which it sold on."""
    import pandas as pd

    first = np.minimum((units[:origin] > 0).argmax(axis=0), origin - SHORTEST)
    week, item = np.nonzero(np.arange(origin)[:, None] >= first)
    return pd.DataFrame({"unique_id": item, "ds": week, "y": units[week, item]}).sort_values(["unique_id", "ds"])


def _shaped(told: Any, ahead: int, levels: tuple[float, ...]) -> np.ndarray:
    names = ["point" if level == 0.5 else f"q{level:g}" for level in levels]
    return told[names].to_numpy(float).reshape(ahead, -1, len(levels))

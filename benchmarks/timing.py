"""CPU time of alternatives, interleaved in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np


def cpu_seconds(cases: Mapping[str, Callable[[], object]], repeats: int = 5) -> dict[str, float]:
    """Median CPU seconds of each case; the cases take turns, so that load falls on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            started = time.process_time()
            case()
            seconds[name].append(time.process_time() - started)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def print_ratio(title: str, ours: float, reference: float) -> None:
    """Print one comparison."""
    milliseconds = f"{ours * 1e3:.2f} ms against {reference * 1e3:.2f} ms"
    print(f"{title}: {reference / ours:.1f} × ({milliseconds})")

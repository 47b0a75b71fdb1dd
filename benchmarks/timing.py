"""Time of alternatives, interleaved in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np


def now(device: str) -> float:
    """Read the clock when a GPU (``cuda``) is done; on a CPU its time: cores may be shared."""
    if device == "cuda":
        import torch  # not before: what needs no torch is measured here, too

        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def median_seconds(
    cases: Mapping[str, Callable[[], object]], device: str = "cpu", repeats: int = 5
) -> dict[str, float]:
    """Median seconds of each case; the cases take turns, so that load falls on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            started = now(device)
            case()
            seconds[name].append(now(device) - started)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def print_ratio(title: str, ours: float, reference: float) -> None:
    """Print one comparison."""
    milliseconds = f"{ours * 1e3:.2f} ms against {reference * 1e3:.2f} ms"
    print(f"{title}: {reference / ours:.1f} × ({milliseconds})")

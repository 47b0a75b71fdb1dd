"""Architecture of each size of ECGFounder's Net1D; needs no torch."""

from __future__ import annotations

from typing import Any

SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model: for tests and two CPU cores. Three stages instead of six
    # see too little of a recording at once: on the synthetic cohort they come to a lower AUROC.
    "tiny": {
        "base_filters": 16,
        "filter_list": (16, 16, 32, 32, 64, 64),
        "m_blocks_list": (1, 1, 1, 1, 1, 1),
    },
    # The published ECGFounder: 30,819,014 parameters with 12 leads and 150 outputs.
    "base": {
        "base_filters": 64,
        "filter_list": (64, 160, 160, 400, 400, 1024, 1024),
        "m_blocks_list": (2, 2, 2, 3, 3, 4, 4),
    },
}
"""Architecture of each size by name."""

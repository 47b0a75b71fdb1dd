"""Datasets that share recordings, though no name of a recording or patient shows it."""

from __future__ import annotations

SHARED_RECORDINGS = {
    frozenset({"physionet-2021", "ptb-xl"}): (
        "PhysioNet 2021 contains the recordings of PTB-XL (its folder ptb-xl), under other names."
    ),
}
"""A sentence for each pair of datasets that have recordings in common."""

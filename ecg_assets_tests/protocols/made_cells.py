"""A small protocol and scores for its cells, without any training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_assets.evaluation.matrix.stored import MissingCell
from ecg_assets.labels import LabelVocabulary
from ecg_assets.models.predictions import Predictions
from ecg_assets.protocols.cells import CellFacts, Found, StoredCell
from ecg_assets.protocols.protocol import Protocol, ProtocolCell, Rules

LABELS = LabelVocabulary(("MI", "NORM"), ("mean", "mean"))
N_PATIENTS, N_RECORDS = 60, 90


def make_protocol(**changes: Any) -> Protocol:
    """Make a protocol of two tasks, three models and two modes; the paper has three numbers."""
    task = {"source": "ptb-xl", "label_set": "ptb-xl-super-drop"}
    fields: dict[str, Any] = {
        "name": "small",
        "title": "A small table",
        "reference": "nobody, 2026",
        "tasks": {"super": {"title": "Super", **task}, "sub": {"title": "Sub", **task}},
        "models": {
            "good": {"preset": "tiny", "from_scratch": True, "saw": ["sub"]},
            "fair": {"preset": "tiny", "from_scratch": True, "published_as": "Fair_1 & co"},
            "poor": {"preset": "tiny", "from_scratch": True},
        },
        "modes": {"full": {"method": "full"}, "linear": {"method": "linear-probe"}},
        "published": [
            {"task": "super", "model": "good", "mode": "full", "value": 0.9},
            {"task": "super", "model": "Fair_1 & co", "mode": "full", "value": 0.2},
            {"task": "sub", "model": "poor", "mode": "full", "value": 0.7, "low": 0.3, "high": 0.6},
        ],
    }
    return Protocol(**{**fields, **changes})


def make_scores(strength: float, seed: int, *, target_seed: int = 0) -> Predictions:
    """Draw scores that tell the labels as well as `strength` says; patients have 1 or 2."""
    truth = np.random.default_rng(target_seed)
    target = (truth.random((N_RECORDS, 2)) < 0.4).astype(np.uint8)
    noise = np.random.default_rng(seed).normal(size=target.shape)
    logit = strength * (target - 0.5) + noise
    return Predictions(
        np.array([f"r{i:03}" for i in range(N_RECORDS)]),
        np.array([f"p{i % N_PATIENTS:03}" for i in range(N_RECORDS)]),
        LABELS,
        target,
        (1 / (1 + np.exp(-logit))).astype(np.float32),
    )


def make_cell(
    protocol: Protocol, cell: ProtocolCell, rules: Rules, scores: Predictions
) -> StoredCell:
    """Put scores into a cell."""
    facts = CellFacts(
        **cell._asdict(),
        rules=rules,
        identity=f"{cell.row}-{cell.column}",
        method=protocol.method_of(cell, rules),
        weights="random weights, seed 1",
        weights_sha256="0" * 64,
        seen_before="",
        signal_spec={},
        data={"records": {"train": 300, "valid": 40, "test": N_RECORDS}, "signals": "abc"},
        left_out={},
        training={},
    )
    return StoredCell(facts, scores)


def make_cells(
    protocol: Protocol, strengths: Mapping[str, float]
) -> dict[tuple[ProtocolCell, Rules], Found]:
    """Give every cell of these models scores; the others are missing."""
    found: dict[tuple[ProtocolCell, Rules], Found] = {}
    for number, cell in enumerate(protocol.cells):
        for rules in Rules:
            if cell.model not in strengths:
                found[cell, rules] = MissingCell("nobody trained it", "random weights")
                continue
            scores = make_scores(strengths[cell.model], 100 + number)
            found[cell, rules] = make_cell(protocol, cell, rules, scores)
    return found

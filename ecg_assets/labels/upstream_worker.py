"""Runs ECG-FM's labeler in another interpreter; started by file name, imports nothing of ours.

``python upstream_worker.py ECG_FM_ROOT texts.json result.json``: texts is a list of report texts;
the result has, for each text, its labels with their probabilities, and the patterns that matched.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path


def main(root: Path, source: Path, target: Path) -> None:
    """Label the texts with the labeler of a clone of ECG-FM."""
    sys.path.insert(0, str(root / "labeler"))
    import pandas as pd
    from pattern_labeler import (  # type: ignore[import-not-found]
        PatternLabeler,
        PatternLabelerConfig,
    )
    from preprocess import preprocess_texts  # type: ignore[import-not-found]

    texts = pd.Series(json.loads(source.read_text(encoding="utf-8")), dtype=object)
    config = PatternLabelerConfig.from_json(str(root / "data" / "mimic_iv_ecg" / "labeler"))
    cleaned = preprocess_texts(texts).rename("text")
    # Texts without words get no labels.
    result = PatternLabeler(config)(texts=cleaned)
    labels: list[dict[str, float]] = [{} for _ in texts]
    for row in result.labels_flat.rename_axis("idx").reset_index().to_dict("records"):
        labels[row["idx"]][row["name"]] = float(row["prob"])
    patterns: list[list[str]] = [[] for _ in texts]
    # Its rows are named by the text; their idx is the place of the pattern in it.
    for text, pattern in result.pattern_results["pattern_str"].items():
        patterns[text].append(str(pattern))
    target.write_text(json.dumps({"labels": labels, "patterns": patterns}), encoding="utf-8")


if __name__ == "__main__":
    # It prints bars and report texts.
    with open(os.devnull, "w") as sink, contextlib.redirect_stdout(sink):  # noqa: PTH123
        main(*map(Path, sys.argv[1:]))

"""ECG-FM's own labeler, unchanged, from the user's clone and in the user's interpreter.

It is what made the published labels (https://github.com/bowang-lab/ECG-FM, ``labeler/``). It needs
pandas 2.1 to 2.3, networkx, matplotlib and tqdm, and takes some milliseconds a report.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.labels import upstream_worker
from ecg_assets.labels.labeler import is_positive
from ecg_assets.labels.vocabulary import ECG_FM_LABELS
from ecg_assets.made_with import (
    LABEL_RULES,
    LABEL_THRESHOLD,
    LABEL_VOCABULARY,
    known_facts,
    with_facts,
)
from ecg_assets.sources.schema import REPORT_TEXT

UPSTREAM_RULES = "ECG-FM's labeler"
"""Stands for the rules of these labels, which are not ours."""

TEXTS_PER_CALL = 20_000
"""Texts that one process labels: enough that its start is nothing, few enough for its memory."""


class UpstreamReading(NamedTuple):
    """What upstream makes of a text: its labels with probabilities, and the patterns it found."""

    labels: dict[str, float]
    patterns: list[str]


@dataclass(frozen=True)
class UpstreamLabeler:
    """A clone of ECG-FM and an interpreter that can run its labeler.

    Attributes
    ----------
    root
        The clone (ECG_FM_ROOT).
    python
        Interpreter with pandas 2 (ECG_FM_PYTHON).
    joint
        What stands between the lines of a report.
    n_processes
        Processes at the same time.
    """

    root: Path
    python: str
    joint: str = " "
    n_processes: int = 2

    def __post_init__(self) -> None:
        if not (self.root / "labeler" / "pattern_labeler.py").is_file():
            raise SettingsError(
                f"ECG_FM_ROOT is {str(self.root)!r}, which holds no labeler/pattern_labeler.py; "
                "set it to a clone of https://github.com/bowang-lab/ECG-FM."
            )

    def read(
        self, texts: Sequence[str], *, progress: Callable[[int, int], None] | None = None
    ) -> list[UpstreamReading]:
        """Label texts; equal ones are labelled once.

        Raises
        ------
        EcgAssetsError
            When its process fails; the message has the error's last line, and no report.
        """
        distinct = sorted(set(texts))
        parts = [
            distinct[at : at + TEXTS_PER_CALL] for at in range(0, len(distinct), TEXTS_PER_CALL)
        ]
        found: dict[str, UpstreamReading] = {}
        with ThreadPoolExecutor(self.n_processes) as pool:
            for part, readings in zip(parts, pool.map(self._call, parts), strict=True):
                found.update(zip(part, readings, strict=True))
                if progress:
                    progress(len(found), len(distinct))
        return [found[text] for text in texts]

    def _call(self, texts: list[str]) -> list[UpstreamReading]:
        # It cannot be given a table in which no text has a word.
        if not any(any(c.isalpha() for c in text) for text in texts):
            return [UpstreamReading({}, []) for _ in texts]
        with tempfile.TemporaryDirectory() as name:
            source, target = Path(name) / "texts.json", Path(name) / "result.json"
            source.write_text(json.dumps(texts), encoding="utf-8")
            command = [self.python, upstream_worker.__file__, str(self.root)]
            try:
                done = subprocess.run(
                    [*command, str(source), str(target)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            except OSError as error:
                raise SettingsError(
                    f"ECG_FM_PYTHON is {self.python!r}, which cannot be started: {error.strerror}. "
                    "Set it to a Python with pandas 2, networkx, matplotlib and tqdm."
                ) from error
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or ["no message"]
                raise EcgAssetsError(
                    f"ECG-FM's labeler failed under {self.python}: {last[0][:200]}. "
                    "It needs pandas 2.1 to 2.3, networkx, matplotlib and tqdm (ECG_FM_PYTHON)."
                )
            result = json.loads(target.read_text(encoding="utf-8"))
        pairs = zip(result["labels"], result["patterns"], strict=True)
        return [UpstreamReading(labels, patterns) for labels, patterns in pairs]


def label_records_upstream(
    reports: pd.DataFrame,
    labeler: UpstreamLabeler,
    *,
    threshold: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Label recordings as ECG-FM's published labels are.

    Parameters
    ----------
    reports
        Table of `ecg_assets.sources.schema.MACHINE_REPORTS`; only report text is taken.
    threshold
        Lowest probability that counts as positive; with 0 every probability above 0 does, as
        in the published labels.

    Returns
    -------
    pandas.DataFrame
        Table of `LABELS` with a row for every recording and label: upstream gives a recording
        without a report zeros.
    """
    is_text = (reports["coding"] == REPORT_TEXT).to_numpy()
    table = reports[is_text]
    texts = [join_lines(lines, labeler.joint) for lines in table["lines"]]
    readings = labeler.read(texts, progress=progress)
    names = ECG_FM_LABELS.names
    probability = np.array(
        [reading.labels.get(name, 0.0) for reading in readings for name in names],
        dtype=np.float32,
    )
    record = np.repeat(np.arange(len(table), dtype=np.int32), len(names))
    label = np.tile(np.arange(len(names), dtype=np.int32), len(table))
    facts = {
        **known_facts(reports),
        LABEL_RULES: UPSTREAM_RULES,
        LABEL_VOCABULARY: ECG_FM_LABELS.to_json(),
        LABEL_THRESHOLD: threshold,
    }
    labels = pd.DataFrame(
        {
            "record_id": pd.Categorical.from_codes(record, pd.Index(table["record_id"])),
            "label": pd.Categorical.from_codes(label, pd.Index(names)),
            "value": is_positive(probability, threshold).astype(np.int8),
            "probability": probability,
        }
    )
    return with_facts(labels, facts)


def join_lines(lines: Sequence[str], joint: str) -> str:
    """Join the lines of a report as the reference pipeline does."""
    return joint.join(line.strip() for line in lines if line and line.strip())

"""A made CODE-test: tracings without numbers, attributes, and annotations by the same order."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ecg_assets.sources.code_test import (
    ATTRIBUTES_FILE,
    GOLD_FILE,
    LABEL_COLUMNS,
    LEADS,
    TRACINGS_FILE,
)
from ecg_assets.sources.synthetic.made.tracings import (
    find_abnormalities,
    plan_studies,
    write_tracings,
)


def write_code_test(root: Path, *, n_records: int = 60, seed: int = 0) -> None:
    """Write a made CODE-test, with what the real one has.

    That is the limb leads in the order I, II, III, aVL, aVF, aVR, tracings of 7 and of 10 s in one
    array, and a table of the network's own answers (dnn.csv) with one column more than the
    others.

    Parameters
    ----------
    root
        Folder to write, made where it is missing.
    n_records
        Recordings.
    seed
        Seed of every random choice.
    """
    studies = plan_studies(n_records, seed)
    gold = root / GOLD_FILE
    gold.parent.mkdir(parents=True, exist_ok=True)
    write_tracings(root / TRACINGS_FILE, studies, seed, LEADS)
    attributes = {
        "age": [study.patient.anchor_age for study in studies],
        "sex": [study.patient.sex for study in studies],
    }
    pd.DataFrame(attributes).to_csv(root / ATTRIBUTES_FILE, index=False)
    found = pd.DataFrame([find_abnormalities(study) for study in studies]).astype(int)
    annotations = found[list(LABEL_COLUMNS)]
    annotations.to_csv(gold, index=False)
    annotations.to_csv(gold.with_name("dnn.csv"))


WRITERS = {"code-test": write_code_test}

"""Made-up recordings in the layout of MIMIC-IV-ECG: a plan, waveforms, reports, faults, files.

Nothing here is fit to teach a clinician: the shapes are as simple as the label texts allow.
"""

from __future__ import annotations

from pathlib import Path

from ecg_assets.sources.dataset import Dataset
from ecg_assets.sources.mimic_iv_ecg import MimicIvEcg
from ecg_assets.sources.schema import REPORT_TEXT

NAME = "synthetic"
MARKER = "synthetic_cohort.json"


def open_cohort(root: Path, *, n_records: int = 800, seed: int = 0) -> MimicIvEcg:
    """Open the cohort below a root, which is written first where it is missing."""
    from ecg_assets.sources.synthetic.cohort import write_synthetic_cohort

    write_synthetic_cohort(root, n_records=n_records, seed=seed)
    return MimicIvEcg(root, name=NAME, folders_per_shard=1)


SYNTHETIC = Dataset(
    name=NAME,
    title="the synthetic cohort",
    open=open_cohort,
    coding=REPORT_TEXT,
    options=("n_records", "seed"),
    is_made_here=True,
    decisive_file=MARKER,
    has_shifted_years=True,
)

"""The two recordings that the golden arrays of preprocessing were made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wfdb
from numpy.typing import NDArray

from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec
from ecg_assets.preprocess.model_input import prepare


def prepared_recordings(
    reference_data: Path, spec: SignalSpec, *, n_samples: int = 5000
) -> NDArray[np.float32]:
    """Prepare them as a spec says, ``(record, lead, sample)``, of their first samples at 500 Hz."""
    folder = reference_data / "real_ecg" / "physionet2021"
    names = ("georgia/E07501", "ptb-xl/HR06001")
    signals = [wfdb.rdrecord(str(folder / name)).p_signal.T[:, :n_samples] for name in names]
    leads = [STANDARD_LEADS.index(lead) for lead in spec.leads]
    found: NDArray[np.float32] = prepare(np.stack(signals)[:, leads], 500, spec)
    return found

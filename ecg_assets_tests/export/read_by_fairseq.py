"""Read an export with fairseq-signals' own dataset classes; its interpreter runs this file.

``python read_by_fairseq.py FOLDER`` prints, as JSON, what each file of ``train.tsv`` and each
pair of ``cmsc/train.tsv`` gives. It imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Print names and labels of the files, and the patients of each pair."""
    # Inside, because the test run imports this file without having fairseq-signals.
    from fairseq_signals.data import (  # type: ignore[import-not-found]
        CMSCECGDataset,
        FileECGDataset,
    )

    labels = str(folder / "y.npy")
    files = FileECGDataset(str(folder / "train.tsv"), 500, label=True, label_file=labels)
    pairs = CMSCECGDataset(str(folder / "cmsc" / "train.tsv"), 500)
    found = {
        "files": [
            [str(files.fnames[at]), list(files[at]["source"].shape), files[at]["label"].tolist()]
            for at in range(len(files))
        ],
        "pairs": [[str(pairs.fnames[at]), *_pair(pairs[at])] for at in range(len(pairs))],
    }
    print(json.dumps(found))  # noqa: T201


def _pair(segments: list[dict[str, int]]) -> tuple[list[int], list[int]]:
    """Patients and numbers of a pair's segments."""
    return [piece["patient_id"] for piece in segments], [piece["segment"] for piece in segments]


if __name__ == "__main__":
    main(Path(sys.argv[1]))

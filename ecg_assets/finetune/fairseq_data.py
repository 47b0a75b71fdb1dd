"""The files that fairseq-signals trains from: found, and checked before it is started."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecg_assets.errors import SettingsError

_FILES = ("train.tsv", "valid.tsv", "y.npy", "pos_weight.txt")
_HOW = "Materialize mat_records for all shards, then fairseq_manifests."


@dataclass(frozen=True)
class FairseqData:
    """Manifests that can be trained from.

    Attributes
    ----------
    folder
        Holds train.tsv, valid.tsv, test.tsv and y.npy.
    pos_weight
        Weight of each label's positives, from pos_weight.txt.
    """

    folder: Path
    pos_weight: tuple[float, ...]


def find_fairseq_data(folder: Path, *, n_labels: int, with_test: bool) -> FairseqData:
    """Find the manifests in what `fairseq_manifests` wrote, in either layout.

    Raises
    ------
    SettingsError
        When a file is missing, a .tsv is empty or leads nowhere, or the labels are of another
        number.
    """
    found = _folder(folder)
    for name in ("train", "valid", "test") if with_test else ("train", "valid"):
        _require_files_of(found / f"{name}.tsv")
    weights = read_pos_weight(found / "pos_weight.txt")
    n_columns = np.load(found / "y.npy", mmap_mode="r").shape[1]
    if not n_labels == n_columns == len(weights):
        raise SettingsError(
            f"{found} has {n_columns} labels in y.npy and {len(weights)} in pos_weight.txt, the "
            f"manifests have {n_labels}. Materialize fairseq_manifests again."
        )
    return FairseqData(found, weights)


def read_pos_weight(path: Path) -> tuple[float, ...]:
    """Read weights as fairseq-signals writes them (``[a,b]``) or as the Lead-I pipeline does.

    The latter puts spaces between them.
    """
    text = path.read_text(encoding="utf-8").strip().strip("[]")
    return tuple(float(part) for part in re.split(r"[,\s]+", text) if part)


def _folder(folder: Path) -> Path:
    """Choose the folder itself, or ``lead_1/manifests`` and its like below it."""
    for candidate in (folder, *sorted(folder.glob("*/manifests"))):
        if (candidate / "train.tsv").is_file():
            missing = [name for name in _FILES if not (candidate / name).is_file()]
            if not missing:
                return candidate
            raise SettingsError(f"{candidate} lacks {', '.join(missing)}. {_HOW}")
    raise SettingsError(
        f"ECG_TRAINER=fairseq-signals trains from .mat files, but {folder} holds no manifests of "
        f"them (train.tsv). {_HOW}"
    )


def _require_files_of(tsv: Path) -> None:
    """Check that a list is there, names a file, and that its first file exists."""
    if not tsv.is_file():
        raise SettingsError(f"There is no {tsv}. {_HOW}")
    with tsv.open(encoding="utf-8") as lines:
        root, first = lines.readline().strip(), lines.readline().strip()
    if not first:
        raise SettingsError(
            f"{tsv} names no .mat file: its split has no exported recording. {_HOW}"
        )
    path = Path(root, first.split("\t")[0])
    if not path.is_file():
        raise SettingsError(f"{tsv} names {path}, which is not there. {_HOW}")

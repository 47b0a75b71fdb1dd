"""Open a dataset by its name."""

from __future__ import annotations

from pathlib import Path

from ecg_assets.errors import SettingsError
from ecg_assets.sources.mimic_iv_ecg import RECORD_LIST_FILE, REPORTS_FILE, MimicIvEcg
from ecg_assets.sources.physionet2021 import PhysioNet2021
from ecg_assets.sources.source import Source

SOURCE_NAMES = ("mimic-iv-ecg", "physionet-2021", "synthetic")


def open_source(
    name: str, root: Path, *, folders_per_shard: int = 20, seed: int = 0, n_records: int = 800
) -> Source:
    """Open a dataset; the synthetic one is written first where it is missing.

    Parameters
    ----------
    name
        One of `SOURCE_NAMES`.
    root
        Folder of the dataset.
    folders_per_shard
        MIMIC's folders pNNNN in one shard; the synthetic cohort has one.
    seed, n_records
        What the synthetic cohort is made of.

    Raises
    ------
    SettingsError
        When the name is unknown or the root does not hold that dataset; the message says
        which variable to set and, where it can be guessed, to what.
    """
    if name not in SOURCE_NAMES:
        raise SettingsError(f"ECG_SOURCE is {name!r}; set it to one of {', '.join(SOURCE_NAMES)}.")
    if name == "synthetic":
        from ecg_assets.sources.synthetic import write_synthetic_cohort

        write_synthetic_cohort(root, n_records=n_records, seed=seed)
        return MimicIvEcg(root, name=name, folders_per_shard=1)
    if not root.is_dir():
        state = "is no folder" if root.exists() else "does not exist"
        raise SettingsError(
            f"ECG_RAW_ROOT is {root}, which {state}; "
            f"set it to the root folder of {name}, or ECG_SOURCE=synthetic to run without data."
        )
    if name == "mimic-iv-ecg":
        _require_mimic(root)
        return MimicIvEcg(root, folders_per_shard=folders_per_shard)
    if (root / RECORD_LIST_FILE).is_file():
        raise SettingsError(
            f"ECG_SOURCE is {name}, but ECG_RAW_ROOT is {root}, which holds {RECORD_LIST_FILE} as "
            "MIMIC-IV-ECG does; set ECG_SOURCE=mimic-iv-ecg."
        )
    return PhysioNet2021(root)


def _require_mimic(root: Path) -> None:
    missing = [name for name in (RECORD_LIST_FILE, REPORTS_FILE) if not (root / name).is_file()]
    if not missing:
        return
    if (root / RECORD_LIST_FILE).is_file():
        advice = f"Download {REPORTS_FILE} of MIMIC-IV-ECG into that folder."
    else:
        near = _find_mimic_near(root)
        advice = (
            f"Set ECG_RAW_ROOT={near}."
            if near
            else "Set it to the folder of MIMIC-IV-ECG that holds them and files/."
        )
    raise SettingsError(f"ECG_RAW_ROOT is {root}, which lacks {' and '.join(missing)}. {advice}")


def _find_mimic_near(root: Path) -> Path | None:
    """Find the folder that was meant: above (root is ``files``) or one or two levels below."""
    for place in root.parents[:3]:
        if (place / RECORD_LIST_FILE).is_file():
            return place
    below = (*root.glob(f"*/{RECORD_LIST_FILE}"), *root.glob(f"*/*/{RECORD_LIST_FILE}"))
    return max(below).parent if below else None

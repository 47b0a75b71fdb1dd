"""Open a dataset by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ecg_assets.errors import SettingsError
from ecg_assets.sources.code_15 import EXAMS_FILE, Code15
from ecg_assets.sources.condition_folders import ConditionFolders
from ecg_assets.sources.folder import Folder
from ecg_assets.sources.folder_labels import LABELS_FILE
from ecg_assets.sources.mimic_iv_ecg import RECORD_LIST_FILE, REPORTS_FILE, MimicIvEcg
from ecg_assets.sources.physionet2021 import PhysioNet2021
from ecg_assets.sources.ptb_xl import DATABASE_FILE, PtbXl
from ecg_assets.sources.source import Source

SOURCE_NAMES = (
    "mimic-iv-ecg",
    "physionet-2021",
    "ptb-xl",
    "code-15",
    "condition-folders",
    "folder",
    "synthetic",
)

_NEEDED_FILES = {
    "mimic-iv-ecg": (RECORD_LIST_FILE, REPORTS_FILE),
    "ptb-xl": (DATABASE_FILE,),
    "code-15": (EXAMS_FILE,),
}
"""Tables in the root, the one that tells the dataset first."""

_OPENERS: dict[str, Callable[[Path], Source]] = {
    "physionet-2021": PhysioNet2021,
    "ptb-xl": PtbXl,
    "code-15": Code15,
    "condition-folders": ConditionFolders,
    "folder": Folder,
}


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
    if name in _NEEDED_FILES:
        _require_files(name, root, _NEEDED_FILES[name])
    else:
        _require_no_other(name, root)
    if name == "mimic-iv-ecg":
        return MimicIvEcg(root, folders_per_shard=folders_per_shard)
    return _OPENERS[name](root)


def _require_files(name: str, root: Path, files: tuple[str, ...]) -> None:
    missing = [file for file in files if not (root / file).is_file()]
    if not missing:
        return
    if (root / files[0]).is_file():
        advice = f"Download {' and '.join(missing)} of {name} into that folder."
    else:
        near = _find_near(root, files[0])
        advice = (
            f"Set ECG_RAW_ROOT={near}."
            if near
            else f"Set it to the folder of {name} that holds {' and '.join(files)}."
        )
    raise SettingsError(f"ECG_RAW_ROOT is {root}, which lacks {' and '.join(missing)}. {advice}")


def _require_no_other(name: str, root: Path) -> None:
    """Refuse the root of a dataset that has a source of its own."""
    if name == "folder" and (root / LABELS_FILE).is_file():
        return
    for other, files in _NEEDED_FILES.items():
        if (root / files[0]).is_file():
            raise SettingsError(
                f"ECG_SOURCE is {name}, but ECG_RAW_ROOT is {root}, which holds {files[0]} as "
                f"{other} does; set ECG_SOURCE={other}."
            )


def _find_near(root: Path, file: str) -> Path | None:
    """Find the folder that was meant: above (root is ``files``) or one or two levels below."""
    for place in root.parents[:3]:
        if (place / file).is_file():
            return place
    below = (*root.glob(f"*/{file}"), *root.glob(f"*/*/{file}"))
    return max(below).parent if below else None

"""The datasets by name: those that are built in, and those of other packages.

A package adds one by an entry point of the group ``ecg_assets.datasets`` that names its `Dataset`
(docs/your_own_dataset.md).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pandas as pd

from ecg_assets.entry_points import EntryPoints, find_entry_points
from ecg_assets.errors import SettingsError
from ecg_assets.sources.challenge_2025 import CHALLENGE_2025
from ecg_assets.sources.code_15 import CODE_15
from ecg_assets.sources.code_test import CODE_TEST
from ecg_assets.sources.condition_folders import CONDITION_FOLDERS
from ecg_assets.sources.dataset import Dataset, RecordingReader, Source
from ecg_assets.sources.ecgbench import PREFIX, find_ecgbench_dataset
from ecg_assets.sources.echonext import ECHONEXT
from ecg_assets.sources.folder.dataset import FOLDER
from ecg_assets.sources.mimic_iv_ecg import MIMIC_IV_ECG
from ecg_assets.sources.mimic_iv_ecg_ext_icd import MIMIC_IV_ECG_EXT_ICD
from ecg_assets.sources.physionet2021 import PHYSIONET_2021
from ecg_assets.sources.ptb_xl import PTB_XL
from ecg_assets.sources.sami_trop import SAMI_TROP
from ecg_assets.sources.sph import SPH
from ecg_assets.sources.synthetic import SYNTHETIC
from ecg_assets.sources.zzu_pecg import ZZU_PECG

GROUP = "ecg_assets.datasets"
"""Group of the entry points."""

_BUILT_IN = (
    MIMIC_IV_ECG,
    PHYSIONET_2021,
    PTB_XL,
    CODE_15,
    MIMIC_IV_ECG_EXT_ICD,
    SPH,
    ZZU_PECG,
    CODE_TEST,
    SAMI_TROP,
    CHALLENGE_2025,
    ECHONEXT,
    CONDITION_FOLDERS,
    FOLDER,
    SYNTHETIC,
)

ARRAYS = ("npy", "csv", "mat")
"""Endings of recordings that folder.yaml describes."""

UNKNOWN = "unknown"
"""Database of a recording that nothing tells."""


@lru_cache(maxsize=1)
def datasets() -> Mapping[str, Dataset]:
    """Give every dataset by its name; no package replaces a built-in one.

    Those of ecgbench, which are many, are not listed: `look_up_dataset` finds them.
    """
    found = {dataset.name: dataset for dataset in _BUILT_IN}
    for name, dataset in _brought().found.items():
        found.setdefault(name, dataset)
    return found


@lru_cache(maxsize=1)
def _brought() -> EntryPoints[Dataset]:
    return find_entry_points(GROUP, Dataset, _require_usable)


def _require_usable(name: str, dataset: Dataset) -> Dataset:
    """Refuse a dataset that another package brings under another name, or with a known ending."""
    if name != dataset.name:
        raise ValueError(f"the dataset's name is {dataset.name!r}; it must be the entry point's.")
    known = {*ARRAYS, *(ending for built_in in _BUILT_IN for ending in built_in.readers)}
    if taken := sorted(known.intersection(dataset.readers)):
        raise ValueError(f"it reads {taken}, which have a reader here; name its files otherwise.")
    return dataset


def find_dataset(name: str) -> Dataset:
    """Give a dataset by its name.

    Raises
    ------
    SettingsError
        When there is none; the message has the known ones, and what is wrong with the package
        that brings it.
    """
    if name.startswith(PREFIX):
        return find_ecgbench_dataset(name)
    if name not in datasets():
        raise SettingsError(f"ECG_SOURCE is {name!r}; set it to one of {list_known([name])}")
    return datasets()[name]


def look_up_dataset(name: str) -> Dataset | None:
    """Give a dataset by its name; None where `find_dataset` would raise an error."""
    try:
        return find_dataset(name)
    except SettingsError:
        return None


def list_known(unknown: Iterable[str]) -> str:
    """List the known datasets in a sentence, and why packages that bring others cannot be used."""
    faults = (_brought().faults.get(name, "") for name in unknown)
    known = f"{', '.join(datasets())}, {PREFIX}<slug>."
    return " ".join([known, *filter(None, faults)])


def open_source(
    name: str, root: Path, *, folders_per_shard: int = 20, seed: int = 0, n_records: int = 800
) -> Source:
    """Open a dataset; the synthetic one is written first where it is missing.

    Parameters
    ----------
    name
        One of `datasets`.
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
    dataset = find_dataset(name)
    if not dataset.is_made_here:
        _require_root(dataset, root)
    elif not (dataset.decisive_file and (root / dataset.decisive_file).is_file()):
        _require_no_other(dataset, root)
    options = {"folders_per_shard": folders_per_shard, "seed": seed, "n_records": n_records}
    return dataset.open(root, **{option: options[option] for option in dataset.options})


def _require_root(dataset: Dataset, root: Path) -> None:
    if not root.is_dir():
        state = "is no folder" if root.exists() else "does not exist"
        raise SettingsError(
            f"ECG_RAW_ROOT is {root}, which {state}; set it to the root folder of "
            f"{dataset.title}, or ECG_SOURCE=synthetic to run without data."
        )
    if dataset.needed_files:
        _require_files(dataset, root)
    elif dataset.name.startswith(PREFIX):
        return  # its files may be another's too; those that it lacks are told when it is read
    elif not (dataset.decisive_file and (root / dataset.decisive_file).is_file()):
        _require_no_other(dataset, root)


def _require_files(dataset: Dataset, root: Path) -> None:
    title, files = dataset.title, dataset.needed_files
    missing = [file for file in files if not (root / file).is_file()]
    if not missing:
        return
    if (root / files[0]).is_file():
        advice = f"Download {' and '.join(missing)} of {title} into that folder."
    else:
        near = _find_near(root, files[0])
        advice = (
            f"Set ECG_RAW_ROOT={near}."
            if near
            else f"Set it to the folder of {title} that holds {' and '.join(files)}."
        )
    raise SettingsError(f"ECG_RAW_ROOT is {root}, which lacks {' and '.join(missing)}. {advice}")


def _require_no_other(dataset: Dataset, root: Path) -> None:
    """Refuse the root of a dataset that is told by a file of its own."""
    for other in datasets().values():
        # All of them: SPH's metadata.csv alone may be anyone's.
        files = other.needed_files
        if files and all((root / file).is_file() for file in files):
            raise SettingsError(
                f"ECG_SOURCE is {dataset.name}, but ECG_RAW_ROOT is {root}, which holds "
                f"{' and '.join(files)} as {other.name} does; set ECG_SOURCE={other.name}."
            )


def _find_near(root: Path, file: str) -> Path | None:
    """Find the folder that was meant: above (root is ``files``) or one or two levels below."""
    for place in root.parents[:3]:
        if (place / file).is_file():
            return place
    below = (*root.glob(f"*/{file}"), *root.glob(f"*/*/{file}"))
    return max(below).parent if below else None


@lru_cache(maxsize=1)
def recording_readers() -> Mapping[str, RecordingReader]:
    """Give the datasets' own readers of recordings, by the ending of a file or its whole name."""
    found: dict[str, RecordingReader] = {}
    for dataset in datasets().values():
        for ending, reader in dataset.readers.items():
            found.setdefault(ending, reader)
    return found


def own_endings() -> frozenset[str]:
    """Give the endings, without the point, of the files that datasets read by themselves."""
    return frozenset(form.rpartition(".")[2] for form in recording_readers())


def shared_recordings(one: str, other: str) -> str | None:
    """Say how two datasets share recordings, though no name shows it; None if they do not.

    >>> shared_recordings("ptb-xl", "physionet-2021")[:51]
    'PhysioNet 2021 contains the recordings of PTB-XL (i'
    >>> shared_recordings("ptb-xl", "code-15")
    """
    for name, of in ((one, other), (other, one)):
        dataset = look_up_dataset(name)
        if dataset and of in dataset.shares_recordings:
            return dataset.shares_recordings[of]
    return None


# Which database each recording comes from, where a source is made of several.


def name_databases(records: pd.DataFrame) -> pd.Series[str]:
    """Name the database of each recording.

    For a source that collects several it is a folder on the recording's path that is named as
    one, else what the recording's name is numbered by, else ``unknown``; for any other source
    the source itself.

    Parameters
    ----------
    records
        Table with ``source``, ``path`` and ``record_id``.

    Returns
    -------
    Series
        In the records' order, with their index.

    >>> records = pd.DataFrame(
    ...     {
    ...         "source": ["physionet-2021", "condition-folders", "ptb-xl"],
    ...         "path": ["training/georgia/g1/E00001", "Atrial Flutter/JS20001", "x/1_lr"],
    ...         "record_id": ["E00001", "JS20001", "1"],
    ...     }
    ... )
    >>> name_databases(records).tolist()
    ['georgia', 'ningbo', 'ptb-xl']
    """
    collections = [dataset.name for dataset in datasets().values() if dataset.is_collection]
    found = records["source"].astype(object).copy()
    for index in records.index[records["source"].isin(collections)]:
        path, name = str(records.at[index, "path"]), str(records.at[index, "record_id"])
        found[index] = _find_folder(path) or _find_by_name(name)
    return found


def keep_databases(records: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """Keep the recordings of some databases of a collection.

    Parameters
    ----------
    records
        Table of `RECORD_LIST`.
    names
        Databases, as `name_databases` names them; none keeps all.

    Returns
    -------
    DataFrame
        Rows in their order, numbered anew; the facts that it had stay.

    Raises
    ------
    SettingsError
        When a name is of no database of these recordings.

    >>> records = pd.DataFrame(
    ...     {"source": "physionet-2021", "path": ["a/E00001", "b/JS20001"]}
    ... ).assign(record_id=["E00001", "JS20001"])
    >>> keep_databases(records, ["ningbo"])["record_id"].tolist()
    ['JS20001']
    """
    if not names:
        return records
    found = name_databases(records)
    if unknown := sorted(set(names) - set(found)):
        raise SettingsError(
            f"No recording is of the databases {unknown}; there are "
            f"{', '.join(sorted(set(found)))}. Name one of them, or download the others' folders "
            "into ECG_RAW_ROOT."
        )
    return records[found.isin(names)].reset_index(drop=True)


def _find_folder(path: str) -> str | None:
    known = {folder for dataset in datasets().values() for folder in dataset.database_folders}
    return next((folder for folder in PurePosixPath(path).parts[:-1] if folder in known), None)


def _find_by_name(name: str) -> str:
    known = (item for dataset in datasets().values() for item in dataset.database_names.items())
    return next((database for form, database in known if re.fullmatch(form, name)), UNKNOWN)

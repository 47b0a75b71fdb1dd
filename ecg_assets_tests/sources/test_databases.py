"""The database of a recording, by its folder or its name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ecg_assets.sources.datasets import name_databases
from ecg_assets.sources.physionet2021 import PhysioNet2021


def _name(source: str, path: str) -> str:
    record = {"source": source, "path": path, "record_id": path.rpartition("/")[2]}
    return str(name_databases(pd.DataFrame([record])).iloc[0])


@pytest.mark.parametrize(
    ("name", "database"),
    [
        ("A0001", "cpsc_2018"),
        ("Q0001", "cpsc_2018_extra"),
        ("I0001", "st_petersburg_incart"),
        ("S0001", "ptb"),
        ("HR00001", "ptb-xl"),
        ("E00001", "georgia"),
        ("JS00001", "chapman_shaoxing"),
        ("JS10646", "chapman_shaoxing"),
        ("JS10647", "ningbo"),
        ("JS45551", "ningbo"),
        ("40689238", "mimic-iv-ecg"),
        ("A00001", "unknown"),
        ("patient 7", "unknown"),
    ],
)
def test_name_tells_the_database(name: str, database: str) -> None:
    assert _name("condition-folders", f"Atrial Flutter/{name}") == database


def test_folder_counts_before_the_name() -> None:
    assert _name("physionet-2021", "training/chapman_shaoxing/g11/JS20000") == "chapman_shaoxing"


def test_any_other_source_is_one_database() -> None:
    assert _name("ptb-xl", "georgia/E00001") == "ptb-xl"


@pytest.mark.reference
def test_folder_and_name_agree_on_real_recordings(reference_data: Path) -> None:
    records = PhysioNet2021(reference_data / "real_ecg" / "physionet2021").read_records().table
    by_folder = name_databases(records)
    assert by_folder.value_counts().to_dict() == {"georgia": 10, "ningbo": 10, "ptb-xl": 5}
    assert name_databases(records.assign(path=records["record_id"])).equals(by_folder)

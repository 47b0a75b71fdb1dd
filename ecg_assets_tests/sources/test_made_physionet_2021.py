"""The made tree of PhysioNet 2021: read as the real one is, with its traps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import loadmat

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.labels import label_records, resolve_label_set
from ecg_assets.labels.study_counts import main
from ecg_assets.sources import open_source
from ecg_assets.sources.datasets import keep_databases, name_databases
from ecg_assets.sources.synthetic.made.physionet_2021 import (
    DATABASES,
    LEADS,
    RARE_CODE,
    SHORT_S,
    UNKNOWN_CODE,
    write_physionet_2021,
)
from ecg_assets.sources.wfdb.reader import read_record


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "physionet"
    write_physionet_2021(folder, n_records=64, seed=3)
    return folder


def _read(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    source = open_source("physionet-2021", root)
    records = source.read_records().table
    return records, source.read_reports(records).table


def _study(folder: Path, rule: str) -> str:
    path = folder / "study.yaml"
    text = f"coding: snomed-ct\nunlabelled: keep\nevery_code: {rule}\n"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_samples_are_those_of_the_matlab_file_and_leads_go_by_name(root: Path) -> None:
    records, _ = _read(root)
    for name, database in DATABASES.items():
        of_it = keep_databases(records, [name])
        path = root / of_it["path"].iloc[0]
        record = read_record(path)
        stored = loadmat(path.with_suffix(".mat"))["val"]
        assert record.lead_names == LEADS
        assert record.sample_rate == database.sample_rate_hz
        assert stored.shape == (12, database.sample_rate_hz * database.duration_s)
        np.testing.assert_array_equal(record.signal, stored)


def test_each_database_has_a_recording_shorter_than_10_s(root: Path) -> None:
    records, _ = _read(root)
    for name in DATABASES:
        of_it = keep_databases(records, [name])
        header = (root / (of_it["path"].iloc[1] + ".hea")).read_text().split()
        assert int(header[3]) / int(header[2]) == SHORT_S


def test_rare_and_unknown_codes_make_no_label(root: Path, tmp_path: Path) -> None:
    _, reports = _read(root)
    study = _study(tmp_path, "{least_records: 9}")
    names = resolve_label_set(study, reports).vocabulary.names
    assert "426783006" in names
    assert not {RARE_CODE, UNKNOWN_CODE} & set(names)
    with pytest.raises(SchemaError, match=UNKNOWN_CODE):  # each of eight databases has it once
        resolve_label_set(_study(tmp_path, "{least_records: 8}"), reports)
    georgia = reports[name_databases(_read(root)[0]) == "georgia"]
    assert (
        RARE_CODE
        not in resolve_label_set(_study(tmp_path, "{least_records: 2}"), georgia).vocabulary.names
    )


def test_a_databases_counts_are_its_own(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []

    def label(reports: pd.DataFrame, **options: object) -> object:
        counted.append(len(reports))
        return label_records(reports, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("ecg_assets.labels.study_counts.label_records", label)
    monkeypatch.setattr(
        "ecg_assets.labels.study_counts.shipped_studies", lambda: ("cpsc-2018", "code-15-six")
    )
    assert main(["physionet-2021", str(root)]) == 1
    assert counted == [8]
    assert "cpsc-2018: 10 counts, 10 differ" in capsys.readouterr().out


def test_databases_are_kept_by_name_in_their_order(root: Path) -> None:
    records, _ = _read(root)
    kept = keep_databases(records, ["ningbo", "georgia"])
    assert set(name_databases(kept)) == {"ningbo", "georgia"}
    assert kept["record_id"].tolist() == [
        i for i in records["record_id"] if i in set(kept["record_id"])
    ]
    assert keep_databases(records, []) is records
    with pytest.raises(SettingsError, match=r"databases \['gerogia'\]; there are .*georgia"):
        keep_databases(records, ["gerogia"])


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_physionet_2021(tmp_path / name, n_records=16, seed=seed)
    found = [
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
        for n in "abc"
    ]
    assert found[0] == found[1] != found[2]

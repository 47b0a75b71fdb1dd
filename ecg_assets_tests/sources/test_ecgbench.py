"""Datasets by ecgbench's configurations: beside our own readers, and where it is wrong."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb
from numpy.typing import NDArray

pytest.importorskip("ecgbench", reason="it comes with the extra ecgbench, and with dev")

from ecgbench.config import list_available_configs

from ecg_assets.errors import BadRecord, LeakageError, SchemaError, SettingsError
from ecg_assets.labels.codings import codings, find_coding
from ecg_assets.preprocess.shard import preprocess_shard
from ecg_assets.sources import (
    MACHINE_REPORTS,
    RECORD_LIST,
    find_dataset,
    open_source,
    read_recording,
)
from ecg_assets.sources import datasets as list_datasets
from ecg_assets.sources import ecgbench as adapter
from ecg_assets.sources.code_test import LEADS as CODE_TEST_LEADS
from ecg_assets.sources.datasets import shared_recordings
from ecg_assets.sources.ecgbench import PREFIX, EcgBench, load_config, refused, served
from ecg_assets.sources.echonext import LEADS as ECHONEXT_LEADS
from ecg_assets.sources.schema import NO_LABEL
from ecg_assets.sources.synthetic.made import write_made
from ecg_assets.sources.tracings import LEADS as CODE_15_LEADS
from ecg_assets.sources.wfdb.header import normalize_lead_name
from ecg_assets.split import split_by_folds

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ecgbench.md"
TWELVE = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
# Folds of a few made recordings hold few of a class.
pytestmark = pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")

# Each configuration is served, with all that must be known of it, or refused with a reason.


def test_each_configuration_is_served_or_refused() -> None:
    assert sorted([*served(), *refused()]) == list_available_configs()
    assert (len(served()), len(refused())) == (26, 25)


@pytest.mark.parametrize("slug", list_available_configs())
def test_configuration_opens_with_its_facts_or_tells_why_not(slug: str, tmp_path: Path) -> None:
    if slug in refused():
        with pytest.raises(SettingsError, match=f"ecgbench:{slug}, which is not served: ") as e:
            open_source(f"ecgbench:{slug}", tmp_path)
        assert refused()[slug] in str(e.value)
        return
    dataset, config = find_dataset(f"ecgbench:{slug}"), load_config(slug)
    assert dataset.coding in codings()
    assert {normalize_lead_name(lead) for lead in config.lead_names} & {*TWELVE}
    assert config.signal_units == "mV"
    assert config.signal_format in {"wfdb", "csv", "csv_lead_rows", "hdf5"}
    assert config.signal_path_columns[config.default_sampling_rate]
    assert dataset.facts["ecgbench"] == "1.0.0"
    assert len(dataset.facts["config_sha256"]) == 64
    known = {*list_datasets(), *(f"ecgbench:{other}" for other in served())}
    assert {*dataset.shares_recordings} <= known


@pytest.mark.parametrize("slug", ["ptb-xl", "_template", ""])
def test_unknown_slug_is_answered_with_those_that_there_are(slug: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="of ecgbench there are brugada_huca") as error:
        open_source(f"ecgbench:{slug}", tmp_path)
    assert all(name in str(error.value) for name in (*served(), *refused()))


@pytest.mark.parametrize("found", ["", "1.1.0"])
def test_package_that_is_missing_or_of_another_version_is_told(
    found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(_: str) -> str:
        if not found:
            raise PackageNotFoundError
        return found

    adapter.find_ecgbench_dataset.cache_clear()
    monkeypatch.setattr(adapter, "version", version)
    what = rf"needs ecgbench 1\.0\.0; found {found or 'none'}.*pip install 'ecg-assets\[ecgbench\]'"
    with pytest.raises(SettingsError, match=what):
        find_dataset("ecgbench:ptbxl")


# The same made folder read by our own source and by ecgbench's configuration.

N_RECORDS = 24
PAIRS = {
    "ptbxl": "ptb-xl",
    "sph": "sph",
    "zzu_pecg": "zzu-pecg",
    "code15": "code-15",
    "code_test": "code-test",
    "sami_trop": "sami-trop",
    "challenge2021": "physionet-2021",
    "mimic_iv_ecg": "mimic-iv-ecg",
}
"""Datasets that both know, and whose files can be made here."""

HALVED = {"code15", "code_test", "sami_trop"}
"""What ecgbench takes for mV is twice that: docs/ecgbench.md."""


@pytest.fixture(scope="module", params=PAIRS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Write a made dataset; give the slug and both sources of it."""
    slug = str(request.param)
    root = tmp_path_factory.mktemp(slug) / "raw"
    patch = pytest.MonkeyPatch()
    if slug == "mimic_iv_ecg":
        open_source("synthetic", root, n_records=N_RECORDS)  # in the files of MIMIC-IV-ECG
    else:
        write_made(PAIRS[slug], root, n_records=N_RECORDS, seed=3)
    if slug in {"code_test", "sami_trop"}:
        # These two take tables of the whole release alone.
        module = pytest.importorskip(f"ecgbench.labels.{slug}")
        patch.setattr(module, "N_RECORDS", N_RECORDS)
        for name in getattr(module, "ANNOTATORS", ()):
            file = root / "annotations" / f"{name}.csv"
            if not file.exists():
                shutil.copy(root / "annotations" / "gold_standard.csv", file)
    yield slug, open_source(PAIRS[slug], root), open_source(f"{PREFIX}{slug}", root)
    patch.undo()


def _join(ours: pd.DataFrame, theirs: pd.DataFrame, slug: str) -> pd.DataFrame:
    """Join recordings by the dataset's own name of each."""
    if slug == "code_test":
        ours = ours.assign(study_id=ours["record_id"].str[-3:].astype(int).astype(str))
    return ours.merge(theirs, on="study_id", suffixes=("", "_theirs"), validate="one_to_one")


def test_both_list_the_same_recordings_of_the_same_patients(pair: Any) -> None:
    slug, own, by_ecgbench = pair
    before = sorted(own.root.rglob("*"))
    ours, found = own.read_records().table, by_ecgbench.read_records()
    theirs = RECORD_LIST.from_pandas(found.table).to_pandas()
    both = _join(ours, theirs, slug)
    assert len(both) == len(ours) == len(theirs) == found.findings["records"]
    assert theirs["record_id"].is_unique
    assert theirs["record_id"].str.startswith(f"{slug}_").all()
    assert both["path"].tolist() == both["path_theirs"].tolist()
    assert set(theirs["source"]) == {f"ecgbench:{slug}"}
    known = load_config(slug).patient_id_column is not None
    assert found.findings["records_without_patient"] == (0 if known else len(theirs))
    if known:
        assert both["subject_id"].tolist() == both["subject_id_theirs"].tolist()
    else:
        assert both["subject_id_theirs"].tolist() == both["record_id_theirs"].tolist()
    if slug != "mimic_iv_ecg":  # which has age and sex in a table of MIMIC-IV
        tolerance = {"zzu_pecg": 0.015}.get(slug, 0)  # years of 365.25 days, not of 365
        np.testing.assert_allclose(both["age_theirs"], both["age"], atol=tolerance)
        assert both["sex"].tolist() == both["sex_theirs"].tolist()
    assert sorted(own.root.rglob("*")) == before, "nothing is written into the root"


def test_both_give_the_same_lines_of_reports(pair: Any) -> None:
    slug, own, by_ecgbench = pair
    ours, theirs = own.read_records().table, by_ecgbench.read_records().table
    found = [
        source.read_reports(table).table for source, table in ((own, ours), (by_ecgbench, theirs))
    ]
    MACHINE_REPORTS.from_pandas(found[1])
    assert set(found[0]["coding"]) == set(found[1]["coding"]) == {find_dataset(PAIRS[slug]).coding}
    lines = [
        dict(zip(reports["record_id"], map(list, reports["lines"]), strict=True))
        for reports in found
    ]
    for row in _join(ours, theirs, slug).itertuples():
        expected = lines[0][row.record_id]
        if slug == "sami_trop":  # Chagas disease, which all have, is no column of ecgbench's
            expected = [line for line in expected if line != "chagas"] or [NO_LABEL]
        assert lines[1][row.record_id_theirs] == expected


def test_recordings_are_as_ecgbench_reads_them_but_for_a_unit(pair: Any) -> None:
    from ecgbench.dataset import _load_signal
    from ecgbench.splitting import strategies  # noqa: F401 - they register themselves
    from ecgbench.splitting.registry import get_splitter

    slug, own, by_ecgbench = pair
    config = adapter._with_tables_in(load_config(slug), own.root.parent)
    table = get_splitter(slug).load_metadata(own.root, config)
    table.index = table[config.record_id_column].astype(str)
    n_read = 0
    for row in by_ecgbench.read_records().table.head(6).itertuples():
        path = str(table.at[row.study_id, config.signal_path_columns[config.default_sampling_rate]])
        path = path.removesuffix(".mat") if config.signal_format == "wfdb" else path
        try:
            record = read_recording(own.root / row.path, root=own.root)
        except BadRecord:  # a planted one
            continue
        expected = _load_signal(
            str(own.root / path), config.signal_format, config.signal_unit_scale
        )
        if slug in HALVED:
            there = np.flatnonzero(np.any(expected != 0, axis=0))
            expected = expected[:, there[0] : there[-1] + 1] / 2
        names = config.lead_names
        if config.alternate_lead_names and len(expected) != len(names):
            names = config.alternate_lead_names[len(expected)]
        assert record.lead_names == tuple(map(normalize_lead_name, names))
        assert record.sample_rate in config.sampling_rates
        np.testing.assert_allclose(record.physical(), expected, atol=1.1e-3)
        n_read += 1
    assert n_read >= 4


def test_folds_keep_patients_apart_and_cover_all_recordings(pair: Any) -> None:
    slug, _, by_ecgbench = pair
    records, folds = by_ecgbench.read_records().table, find_dataset(f"ecgbench:{slug}").folds
    assert folds is not None
    of_record = folds.read(by_ecgbench)
    split = split_by_folds(
        records, of_record, train=folds.train, valid=folds.valid, test=folds.test
    )
    assert len(split) == len(records)
    if slug == "code_test":  # a test set, of which ecgbench makes nine tenths others
        assert set(split["split"]) == {"test"}
    else:
        assert set(split["split"]) == {"train", "valid", "test"}
    again = folds.read(by_ecgbench)
    pd.testing.assert_series_equal(of_record, again)


# Datasets that are none of ours, in the files of each.


@pytest.mark.parametrize("column", ["RBBB", "is_male"])
@pytest.mark.parametrize("cell", ["", "unknown"])
def test_flag_that_is_not_stated_is_never_true(column: str, cell: str, tmp_path: Path) -> None:
    write_made("code-15", tmp_path, n_records=6, seed=3)
    path = tmp_path / "exams.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[2, column] = cell
    table.to_csv(path, index=False)
    with pytest.raises(SchemaError, match=f"column '{column}' is no 1, 0, .* data row 3"):
        _open("code15", tmp_path).read_records()


def _simulate(index: int, n_leads: int = 12, n_samples: int = 500) -> NDArray[np.float64]:
    rng = np.random.default_rng(index)
    return np.round(rng.normal(0, 0.3, (n_leads, n_samples)), 3)


def _write_wfdb(
    path: Path, signal: NDArray[np.float64], leads: Sequence[str], rate: int, comments: Any = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        path.name,
        fs=rate,
        units=["mV"] * len(leads),
        sig_name=list(leads),
        p_signal=signal.T,
        fmt=["16"] * len(leads),
        adc_gain=[1000.0] * len(leads),
        baseline=[0] * len(leads),
        comments=comments,
        write_dir=str(path.parent),
    )


def _write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _open(slug: str, root: Path) -> EcgBench:
    source = open_source(f"ecgbench:{slug}", root)
    assert isinstance(source, EcgBench)
    return source


def _lines(source: Any) -> list[list[str]]:
    return list(map(list, source.read_reports(source.read_records().table).table["lines"]))


def test_chapman_of_figshare_is_read_out_of_csv_in_microvolts(tmp_path: Path) -> None:
    names = [f"MUSE_2018_{n}" for n in range(3)]
    (tmp_path / "ECGData").mkdir()
    for n, name in enumerate(names):
        header = ",".join(TWELVE)
        table = _simulate(n).T * 1000
        np.savetxt(
            tmp_path / "ECGData" / f"{name}.csv", table, "%.1f", ",", header=header, comments=""
        )
    rows = [
        {"FileName": name, "Rhythm": rhythm, "Beat": beat, "PatientAge": 59, "Gender": "FEMALE"}
        for name, rhythm, beat in zip(
            names, ("AFIB", "SB", "SR"), ("RBBB TWC", "NONE", "TWC"), strict=True
        )
    ]
    _write_rows(tmp_path / "Diagnostics.csv", rows)
    source = _open("chapman_shaoxing", tmp_path)
    records = source.read_records().table
    assert records["record_id"].tolist() == [f"chapman_shaoxing_{name}" for name in names]
    assert (records["age"][0], records["sex"][0]) == (59.0, "F")
    assert _lines(source) == [["RBBB", "TWC", "AFIB"], ["SB"], ["TWC", "SR"]]
    assert source.read_label_names() == ("AFIB", "RBBB", "SB", "SR", "TWC")
    record = read_recording(tmp_path / records["path"][2], ["V2", "aVR"], root=tmp_path)
    assert (record.sample_rate, record.lead_names) == (500.0, ("V2", "aVR"))
    np.testing.assert_allclose(record.physical(), _simulate(2)[[7, 3]], atol=1e-4)


def test_one_bad_recording_is_a_reject(tmp_path: Path) -> None:
    test_chapman_of_figshare_is_read_out_of_csv_in_microvolts(tmp_path)
    (tmp_path / "ECGData" / "MUSE_2018_1.csv").write_text("I,II\nnot a number,1\n")
    records = open_source("ecgbench:chapman_shaoxing", tmp_path).read_records().table
    result = preprocess_shard(records, tmp_path, leads=("I",))
    assert result.rejects["record_id"].tolist() == ["chapman_shaoxing_MUSE_2018_1"]
    assert result.rejects["reason"].tolist() == ["unreadable"]


def _write_medalcare(root: Path, models: Mapping[str, str]) -> None:
    for index, (place, model) in enumerate(models.items()):
        folder = root / "WP2_largeDataset_Noise" / place / f"run_{model}"
        folder.mkdir(parents=True)
        np.savetxt(folder / "000001_filtered.csv", _simulate(index), "%.3f", ",")


def test_medalcare_is_read_out_of_rows_of_leads_and_its_models_are_its_patients(
    tmp_path: Path,
) -> None:
    _write_medalcare(
        tmp_path, {"sinus/train": "S01", "mi/LAD_0.3/validation": "S02", "lbbb/test": "S03"}
    )
    source = _open("medalcare_xl", tmp_path)
    records = source.read_records().table
    assert records["subject_id"].tolist() == ["S03", "S02", "S01"]
    assert _lines(source) == [["lbbb"], ["mi_LAD_0.3"], ["sinus"]]
    assert source.read_folds().sort_index().tolist() == [3, 2, 1]
    record = read_recording(tmp_path / records["path"][0], ["V6", "I"], root=tmp_path)
    np.testing.assert_allclose(record.physical(), _simulate(2)[[11, 0]], atol=1e-4)
    file = tmp_path / str(records["path"][0]).partition("#")[0]
    file.write_text("1,2,3\n")
    with pytest.raises(BadRecord, match=r"bad_shape: .* has 1 rows, not 12 leads"):
        read_recording(tmp_path / records["path"][0], ["I"], root=tmp_path)
    file.write_text("x,y\n")
    with pytest.raises(BadRecord, match=r"unreadable: .* is no table of numbers"):
        read_recording(tmp_path / records["path"][0], ["I"], root=tmp_path)


def test_folds_of_medalcare_with_one_model_on_both_sides_are_refused(tmp_path: Path) -> None:
    """The release has S64 in test of sinus and in train of fam; ecgbench takes its folds."""
    _write_medalcare(tmp_path, {"sinus/test": "S64", "fam/train": "S64", "iab/validation": "S02"})
    source = _open("medalcare_xl", tmp_path)
    folds = find_dataset("ecgbench:medalcare_xl").folds
    assert folds is not None
    with pytest.raises(LeakageError):
        split_by_folds(
            source.read_records().table,
            folds.read(source),
            train=folds.train,
            valid=folds.valid,
            test=folds.test,
        )


def test_ludb_has_labels_of_several_columns_and_leads_in_small_letters(tmp_path: Path) -> None:
    columns = [
        *("Rhythms", "Electric axis of the heart", "Conduction abnormalities", "Extrasystolies"),
        *("Hypertrophies", "Cardiac pacing", "Ischemia", "Other states"),
        "Non-specific repolarization abnormalities",
    ]
    found = ({"Rhythms": "Sinus rhythm\n", "Hypertrophies": "LVH\nLAO\n"}, {"Rhythms": "AF\n"})
    rows = [
        {"ID": n + 1, "Sex": "F\n", "Age": age, **dict.fromkeys(columns, ""), **labels}
        for n, (age, labels) in enumerate(zip(("51\n", ">89\n"), found, strict=True))
    ]
    _write_rows(tmp_path / "ludb.csv", rows)
    for n in (1, 2):
        _write_wfdb(
            tmp_path / "data" / str(n), _simulate(n), [lead.lower() for lead in TWELVE], 500
        )
    source = _open("ludb", tmp_path)
    records = source.read_records().table
    assert records["path"].tolist() == ["data/1", "data/2"]
    assert (records["age"].tolist(), records["sex"].tolist()) == ([51.0, 89.0], ["F", "F"])
    assert _lines(source) == [["Sinus rhythm", "LVH", "LAO"], ["AF"]]
    record = read_recording(tmp_path / "data" / "2", ["aVL"], root=tmp_path)
    np.testing.assert_allclose(record.physical(), _simulate(2)[[4]], atol=1e-6)


def test_brugada_that_is_neither_healthy_nor_confirmed_is_not_known(tmp_path: Path) -> None:
    rows = [
        {"patient_id": 100 + n, "basal_pattern": 0, "sudden_death": int(n == 1), "brugada": brugada}
        for n, brugada in enumerate((0, 1, 2))
    ]
    _write_rows(tmp_path / "metadata.csv", rows)
    for row in rows:
        name = str(row["patient_id"])
        _write_wfdb(tmp_path / "files" / name / name, _simulate(1, n_samples=1200), TWELVE, 100)
    source = _open("brugada_huca", tmp_path)
    assert _lines(source) == [
        [NO_LABEL],
        ["brugada", "sudden_death"],
        [NO_LABEL, "brugada\tnot measured"],
    ]
    assert source.read_label_names() == ("brugada", "basal_pattern", "sudden_death")
    with pytest.raises(SchemaError, match=r"ecgbench cannot .* ValueError"):
        source.read_folds()  # three recordings, ten folds


_DX = ("Age: 61", "Sex: Male", "Dx: 426783006,164889003")
_MHD = ("Sex:Female", "Age:27years", "Weight:75kg", "Height:170cm")
TREES: dict[str, tuple[tuple[str, ...], Sequence[str], Sequence[str], str, list[str]]] = {
    "challenge2020": (("training/ptb/g1/S0001",), TWELVE, _DX, "", ["426783006", "164889003"]),
    "cpsc_2018": (("Training_WFDB/A0001",), TWELVE, _DX, "", ["426783006", "164889003"]),
    "ecg_arrhythmia": (("WFDBRecords/01/010/JS1",), TWELVE, _DX, "", ["426783006", "164889003"]),
    "ecgiddb": (
        ("Person_01/rec_1", "Person_01/rec_2", "Person_02/rec_1"),
        ("ECG I", "ECG I filtered"),
        ("Age: 25", "Sex: male", "ECG date: 10.12.2004"),
        "Person_01",
        [],
    ),
    "incartdb": (
        ("I01", "I02"),
        [lead.upper() for lead in TWELVE],
        ("<age>: 65 <sex>: F <diagnoses> Coronary artery disease", "patient 1", "AF, couplets,"),
        "patient01",
        ["AF, couplets"],
    ),
    "mhd_effect_ecg_mri": (
        ("ECGMRI1T01Out", "ECGMRI3T02Out"),
        ("I", "II", "III"),
        [f"--{field}" for field in _MHD],
        "Female/27years/75kg/170cm",
        ["reference"],
    ),
    "ptbdb": (
        ("patient001/s0010_re", "patient001/s0014lre", "patient002/s0015lre"),
        [*(lead.lower() for lead in TWELVE), "vx", "vy", "vz"],
        ("age: 81", "sex: female", "Reason for admission: Myocardial infarction"),
        "patient001",
        ["Myocardial infarction"],
    ),
    "wctecgdb": (
        ("patient001/seg01", "patient001/seg02", "patient002/seg01"),
        ("I-Raw", "II-Raw", "I", "II", "V1", "LA", "UV1", "WCT"),
        ("Age: 67", "Sex: F", "Diagnosis report: not reported"),
        "patient001",
        [],
    ),
}
"""Records, leads, comments of each header, patient of the first record, and lines of each."""


@pytest.mark.parametrize("slug", TREES)
def test_headers_of_wfdb_give_patients_and_labels(slug: str, tmp_path: Path) -> None:
    paths, leads, comments, patient, lines = TREES[slug]
    for index, path in enumerate(paths):
        _write_wfdb(tmp_path / path, _simulate(index, len(leads)), leads, 500, list(comments))
        header = tmp_path / f"{path}.hea"  # wfdb writes a blank that this release has not
        header.write_text(header.read_text().replace("# --", "#--"))
    (tmp_path / "RECORDS").write_text("\n".join(paths) + "\n")
    source = _open(slug, tmp_path)
    records = source.read_records().table
    assert records["path"].tolist() == list(paths)
    by_path = records.set_index("path")
    first = by_path.loc[paths[0]]
    assert str(first["subject_id"]) == (patient or str(first["record_id"]))
    assert by_path["age"].notna().all()
    assert by_path["sex"].notna().all()
    assert _lines(source) == [lines] * len(paths)
    folds = find_dataset(f"ecgbench:{slug}").folds
    assert folds is not None
    assert (folds.train, folds.valid, folds.test) == ((1, 2, 3, 4, 5, 6, 7, 8), (9,), (10,))
    lead = list(map(normalize_lead_name, leads)).index("I")
    record = read_recording(tmp_path / paths[-1], ["I"], root=tmp_path)
    expected = _simulate(len(paths) - 1, len(leads))[[lead]]
    np.testing.assert_allclose(record.physical(), expected, atol=1e-6)


def test_demo_of_mimic_has_recordings_and_no_labels(tmp_path: Path) -> None:
    rows = [
        {
            "subject_id": 10000032,
            "study_id": study,
            "path": f"files/p1000/p10000032/s{study}/{study}",
        }
        for study in (40689238, 44458630)
    ]
    _write_rows(tmp_path / "record_list.csv", rows)
    source = _open("mimic_iv_ecg_demo", tmp_path)
    records = source.read_records().table
    assert records["subject_id"].tolist() == ["10000032"] * 2
    assert _lines(source) == [[], []]
    assert source.read_label_names() == ()


def test_table_that_ecgbench_left_in_the_root_is_not_read(tmp_path: Path) -> None:
    test_chapman_of_figshare_is_read_out_of_csv_in_microvolts(tmp_path)
    (tmp_path / "ecgbench_metadata.csv").write_text("FileName,Rhythm,signal_path\nold,SB,/etc/x\n")
    found = open_source("ecgbench:chapman_shaoxing", tmp_path).read_records()
    assert found.findings["records"] == 3


def test_missing_tables_and_tables_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"lacks ptbxl_database\.csv"):
        open_source("ecgbench:ptbxl", tmp_path)
    with pytest.raises(SettingsError, match="lacks files of ecgbench:cpsc_2018"):
        open_source("ecgbench:cpsc_2018", tmp_path).read_records()
    (tmp_path / "metadata.csv").write_text("a,b\n1,secret\n")
    with pytest.raises(SchemaError, match="ecgbench cannot read the tables of") as error:
        open_source("ecgbench:brugada_huca", tmp_path).read_records()
    assert "secret" not in str(error.value)


def test_datasets_with_the_same_recordings_are_told() -> None:
    for one, other in (("ecgbench:ptbxl", "ptb-xl"), ("ecgbench:ptbxl", "ecgbench:challenge2021")):
        assert shared_recordings(one, other) == shared_recordings(other, one) is not None
    assert shared_recordings("ecgbench:ludb", "ptb-xl") is None


# Facts of ecgbench beside ours; docs/ecgbench.md lists where they differ, and who is right.


def _facts_that_differ() -> set[tuple[str, str]]:
    """Compare lead order, unit, rate and patients of the datasets that both know."""
    ours: dict[str, tuple[Sequence[str], float, bool]] = {
        "ptbxl": (TWELVE, 1.0, True),
        "sph": (TWELVE, 1.0, True),
        "zzu_pecg": (TWELVE, 1.0, True),
        "code15": (CODE_15_LEADS, 0.5, True),
        "code_test": (CODE_TEST_LEADS, 0.5, False),
        "sami_trop": (CODE_15_LEADS, 0.5, False),
        "challenge2021": (TWELVE, 1.0, False),
        "mimic_iv_ecg": (("I", "II", "III", "aVR", "aVF", "aVL", *TWELVE[6:]), 1.0, True),
        "echonext": (ECHONEXT_LEADS, 1.0, True),
    }
    different = set()
    for slug, (leads, mv_per_unit, has_patients) in ours.items():
        config = load_config(slug)
        if tuple(map(normalize_lead_name, config.lead_names)) != tuple(leads):
            different.add((slug, "lead order"))
        if config.signal_units != "mV" or config.signal_unit_scale != mv_per_unit:
            different.add((slug, "unit"))
        if (config.patient_id_column is not None) != has_patients:
            different.add((slug, "patients"))
        if slug in PAIRS and config.has_predefined_splits != bool(
            find_dataset(PAIRS[slug]).folds and slug != "code_test"
        ):
            different.add((slug, "folds"))
    return different


def test_facts_differ_where_the_page_says_so() -> None:
    found = _facts_that_differ()
    assert found == {(slug, "unit") for slug in (*HALVED, "echonext")}
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{slug}` | {fact} |" in page for slug, fact in found)


def test_page_lists_what_is_served_and_why_the_rest_is_not() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for slug, taken in served().items():
        row = next(
            line
            for line in page.splitlines()
            if line.startswith(f"| `{slug}` | {load_config(slug).name}")
        )
        assert (find_coding(taken.coding).name if taken.label_columns else "none") in row, slug
    for slug, reason in refused().items():
        assert f"| `{slug}` | {' '.join(reason.split())} |" in page, slug

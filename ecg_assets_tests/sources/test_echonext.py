"""EchoNext: rows of arrays by their place in the split, in mV; findings that nobody measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ecg_assets.errors import BadRecord, SchemaError
from ecg_assets.known import NOT_MEASURED
from ecg_assets.labels import label_matrix, label_records, load_label_set
from ecg_assets.labels.study import Published
from ecg_assets.labels.study_counts import compare_with_study
from ecg_assets.labels.study_counts import main as compare_counts
from ecg_assets.preprocess import preprocess_shard
from ecg_assets.sources import MACHINE_REPORTS, RECORD_LIST, read_recording
from ecg_assets.sources.echonext import (
    COMPOSITE,
    DEVIATIONS,
    ECHONEXT,
    FLAGS,
    HIGHEST,
    LEADS,
    LOWEST,
    MEANS,
    METADATA_FILE,
    MV_PER_UNIT,
    NUMBERS,
    EchoNext,
)
from ecg_assets.sources.record import MISSING
from ecg_assets.sources.synthetic.made.echonext import write_echonext
from ecg_assets.sources.synthetic.made.tracings import plan_studies, simulate_leads
from ecg_assets.split.folds import split_by_folds

N_RECORDS = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("echonext")
    write_echonext(folder, n_records=N_RECORDS, seed=3)
    return folder


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A root of one's own, to spoil."""
    for file in root.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def _metadata(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / METADATA_FILE)


def _labels(root: Path, name: str) -> pd.DataFrame:
    source = EchoNext(root)
    reports = source.read_reports(source.read_records().table).table
    label_set = load_label_set(name, own_labels=FLAGS)
    labels = label_records(reports, label_set=label_set).labels
    ids, values, _ = label_matrix(labels, label_set.vocabulary)
    return pd.DataFrame(values, index=ids, columns=list(label_set.vocabulary.names))


def test_row_of_the_table_is_of_the_row_at_its_place_in_its_split(root: Path) -> None:
    found = EchoNext(root).read_records()
    RECORD_LIST.from_pandas(found.table)
    table = found.table.set_index("study_id")
    signals = dict(enumerate(simulate_leads(plan_studies(N_RECORDS, 3), 3, LEADS)))
    rows = _metadata(root)
    n_compared = 0
    for split in ("train", "val", "test", "no_split"):
        of_split = rows[rows["split"] == split].reset_index(drop=True)
        for row, key in enumerate(of_split["ecg_key"].astype(str)):
            path = str(table.at[key, "path"])
            assert path == f"EchoNext_{split}_waveforms.npy#{row}"
            record = read_recording(root / path, root=root)
            assert record.sample_rate == 250
            if (record.signal == MISSING).all():
                continue
            lowest, highest = LOWEST[:, None] * MV_PER_UNIT, HIGHEST[:, None] * MV_PER_UNIT
            expected = [np.clip(s[:, ::2], lowest, highest) for s in signals.values()]
            errors = [np.abs(record.physical() - one).max() for one in expected]
            assert min(errors) < 1e-3
            patient = plan_studies(N_RECORDS, 3)[int(np.argmin(errors))].patient.subject_id
            assert table.at[key, "subject_id"] == str(patient)
            n_compared += 1
    assert n_compared == N_RECORDS - 1


def test_leads_come_by_name_in_millivolts(root: Path) -> None:
    record = read_recording(root / "EchoNext_test_waveforms.npy#0", ["aVR", "II", "I"], root=root)
    avr, ii, i = record.physical()
    assert record.lead_names == ("aVR", "II", "I")
    assert np.abs(avr + (i + ii) / 2).max() < 1e-3
    assert 0.2 < np.abs(ii).max() < 1.5


def test_row_alone_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = np.lib.format.open_memmap

    def watch(path: Path, mode: str) -> object:
        opened.append(mode)
        return real(path, mode=mode)

    monkeypatch.setattr(np.lib.format, "open_memmap", watch)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("the whole array is read"))
    read_recording(root / "EchoNext_train_waveforms.npy#2", ["I"], root=root)
    assert opened == ["r"]


def test_split_of_the_release_leaves_earlier_recordings_of_its_patients_out(root: Path) -> None:
    source, folds = EchoNext(root), ECHONEXT.folds
    assert folds is not None
    records = source.read_records().table
    split = split_by_folds(
        records, folds.read(source), train=folds.train, valid=folds.valid, test=folds.test
    )
    rows = _metadata(root).assign(record_id=lambda t: "echonext_" + t["ecg_key"].astype(str))
    published = rows.set_index("record_id")["split"].replace("val", "valid")
    assert split.set_index("record_id")["split"].to_dict() == {
        key: name for key, name in published.items() if name != "no_split"
    }
    held = set(rows[rows["split"] == "no_split"]["patient_key"])
    assert held
    assert held <= set(rows[rows["split"].isin(["val", "test"])]["patient_key"])
    assert source.read_records().findings["records_in_no_split"] == (published == "no_split").sum()


def test_flag_without_a_measurement_is_negative_as_published_and_unknown_where_measured(
    root: Path,
) -> None:
    rows = _metadata(root).assign(key=lambda t: "echonext_" + t["ecg_key"].astype(str))
    rows = rows.set_index("key")
    published, measured = _labels(root, "echonext-11"), _labels(root, "echonext-11-measured")
    assert list(published.columns) == list(measured.columns) == list(FLAGS[:11])
    source_of = {
        "lvef_lte_45_flag": ["lvef_value"],
        "lvwt_gte_13_flag": ["ivs_measurement", "lvpw_measurement"],
        "rv_systolic_dysfunction_moderate_or_greater_flag": ["rv_systolic_function_value"],
        "pericardial_effusion_moderate_large_flag": ["pericardial_effusion_value"],
        "pasp_gte_45_flag": ["pasp_value"],
        "tr_max_gte_32_flag": ["tr_max_velocity_value"],
    }
    n_unknown = 0
    for flag in FLAGS[:11]:
        sources = source_of.get(flag) or [flag.replace("moderate_or_greater_flag", "value")]
        is_empty = rows[sources].isna().any(axis=1).loc[published.index]
        expected = rows[flag].loc[published.index]
        assert (published[flag] == expected).all()
        is_unknown = is_empty & (expected == 0)
        assert (measured[flag] == expected.where(~is_unknown, NOT_MEASURED)).all(), flag
        n_unknown += int(is_unknown.sum())
    assert n_unknown > 50
    composite = _labels(root, "echonext-shd")
    assert (composite[COMPOSITE] == rows[COMPOSITE].loc[composite.index]).all()


def test_measured_numbers_can_be_targets(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    path.write_text("targets: {LVEF: {of: 'own:lvef_value [%]'}}\n", encoding="utf-8")
    values = _labels(root, str(path))["LVEF"]
    rows = _metadata(root).set_index("ecg_key")["lvef_value"].dropna()
    assert values.to_dict() == {
        f"echonext_{key}": pytest.approx(value) for key, value in rows.items()
    }


def test_published_numbers_of_unmeasured_recordings_are_compared(root: Path) -> None:
    source = EchoNext(root)
    reports = source.read_reports(source.read_records().table).table
    MACHINE_REPORTS.from_pandas(reports)
    label_set = load_label_set("echonext-11-measured", own_labels=FLAGS)
    labels = label_records(reports, label_set=label_set).labels
    rows = _metadata(root)
    n_empty = int(rows["tr_max_velocity_value"].isna().sum())
    published = Published(
        source="echonext",
        dataset_records=N_RECORDS,
        reference="made",
        records={"all": N_RECORDS},
        positives={"pasp_gte_45_flag": {"all": int(rows["pasp_gte_45_flag"].sum())}},
        unmeasured={"tr_max_gte_32_flag": {"all": n_empty}, "lvef_lte_45_flag": {"all": -1}},
    )
    table = compare_with_study(labels, published).set_index("label")
    assert table["is_equal"].to_dict() == {
        "(recordings)": True,
        "pasp_gte_45_flag": True,
        "tr_max_gte_32_flag (not measured)": True,
        "lvef_lte_45_flag (not measured)": False,
    }


def test_counts_of_a_part_are_not_those_of_the_release(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare_counts(["echonext", str(root)]) == 1
    said = capsys.readouterr().out
    assert "echonext-11: 4 counts, 4 differ" in said
    assert "tr_max_gte_32_flag (not measured)   all" in said
    assert "54996" in said


def test_row_of_nan_has_no_sample_and_spoils_no_other(root: Path) -> None:
    records = EchoNext(root).read_records().table
    of_train = records[records["shard"] == "train-00"]
    tables = preprocess_shard(of_train, root, LEADS)
    assert tables.rejects.empty
    shard = tables.signals.to_pandas().set_index("record_id")
    last = of_train.set_index("record_id")["path"].str.endswith(f"#{len(of_train) - 1}")
    assert (shard["n_missing_I"] == 2500).to_dict() == last.to_dict()
    # Leads are clipped each by itself, which no lead in another's place explains.
    assert set(shard["limb_fault"].dropna()) <= {"unexplained"}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("val", lambda array: array[:-1], "rows of split val, but EchoNext_val_waveforms.npy has"),
        ("train", lambda array: array[:, 0].transpose(0, 2, 1), r"expected \(rows, 1, 2500, 12\)"),
        ("test", lambda array: array.transpose(0, 1, 3, 2), r"expected \(rows, 1, 2500, 12\)"),
        ("test", lambda array: np.rint(array).astype(np.int16), "is int16"),
    ],
)
def test_array_that_is_not_the_tables_stops_the_run(
    copy: Path, name: str, change: object, message: str
) -> None:
    path = copy / f"EchoNext_{name}_waveforms.npy"
    np.save(path, np.nan_to_num(change(np.load(path))))  # type: ignore[operator]
    with pytest.raises(SchemaError, match=message):
        EchoNext(copy).read_records()


def test_array_that_is_not_there_is_counted_and_its_recordings_rejected(copy: Path) -> None:
    (copy / "EchoNext_train_waveforms.npy").unlink()
    found = EchoNext(copy).read_records()
    assert found.findings["missing_waveform_files"] == 1
    assert len(found.table) == N_RECORDS
    with pytest.raises(BadRecord, match="missing_file"):
        read_recording(copy / "EchoNext_train_waveforms.npy#0", root=copy)


@pytest.mark.parametrize(
    ("part", "reason"), [("100000", "missing_exam"), ("x", "missing_exam"), ("", "missing_exam")]
)
def test_row_that_is_not_there_is_a_bad_record(root: Path, part: str, reason: str) -> None:
    with pytest.raises(BadRecord) as error:
        read_recording(f"{root}/EchoNext_val_waveforms.npy#{part}", root=root)
    assert error.value.reason == reason


def test_cut_off_array_is_a_bad_record(copy: Path) -> None:
    path = copy / "EchoNext_val_waveforms.npy"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(BadRecord, match="unreadable") as error:
        read_recording(f"{path}#0", root=copy)
    assert str(copy) not in error.value.detail


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("ecg_key", 1, "'ecg_key' stands twice"),
        ("split", "valid", "'split' is none of train, val, test, no_split"),
        ("patient_key", None, "'patient_key' is empty"),
        ("pasp_gte_45_flag", 2, "'pasp_gte_45_flag' is neither"),
        ("aortic_stenosis_value", "moderate-severe", "'aortic_stenosis_value' is none of none"),
        ("lvef_value", "55-60", "'lvef_value' is no number"),
    ],
)
def test_cell_that_cannot_be_is_named_by_column_and_row(
    copy: Path, column: str, cell: object, message: str
) -> None:
    rows = _metadata(copy).drop(columns="Unnamed: 0").astype(object)
    places = rows.index if column == "ecg_key" else rows.index[-1:]
    rows[column] = rows[column].mask(rows.index.isin(places), cell)
    rows.to_csv(copy / METADATA_FILE)
    source = EchoNext(copy)
    with pytest.raises(SchemaError, match=message):
        source.read_reports(source.read_records().table)


def test_numbers_have_a_unit_each() -> None:
    assert len(NUMBERS) == 12
    assert len(set(NUMBERS.values())) == 12
    assert LOWEST.shape == HIGHEST.shape == MEANS.shape == DEVIATIONS.shape == (len(LEADS),)


@pytest.mark.reference
def test_release_has_the_published_counts_and_is_clipped_where_its_authors_clip(
    reference_data: Path,
) -> None:
    root = reference_data / "echonext"
    if not (root / METADATA_FILE).is_file():
        pytest.skip(f"no EchoNext at {root}")
    assert compare_counts(["echonext", str(root)]) == 0
    table = EchoNext(root).read_records().table
    assert table["subject_id"].nunique() == 36_286
    array = np.load(root / "EchoNext_val_waveforms.npy", mmap_mode="r")
    units = array[:, 0] * DEVIATIONS + MEANS
    np.testing.assert_allclose(units.min(axis=(0, 1)), LOWEST, atol=0.01)
    np.testing.assert_allclose(units.max(axis=(0, 1)), HIGHEST, atol=0.01)

"""Shards as arrays and as a torch data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

import ecg_assets
from ecg_assets import SettingsError
from ecg_assets.errors import SchemaError
from ecg_assets.preprocess import read_shard, signal_spec_of_kind, write_shard
from ecg_assets.preprocess.shard import ShardTables
from ecg_assets.preprocess.shard_schema import REJECTS
from ecg_assets_tests.api.conftest import LEADS, Cohort, good_records


@pytest.fixture(scope="module")
def shards(cohort: Cohort) -> ecg_assets.Shards:
    return ecg_assets.open_shards(cohort.data_dir)


def test_data_folder_source_and_shards_lead_to_the_same(cohort: Cohort) -> None:
    root = cohort.stored
    for folder in (cohort.data_dir, root.root, root.shards):
        found = ecg_assets.open_shards(folder)
        assert (found.folder, found.name, found.leads) == (root.shards, "synthetic", LEADS)
    assert len(ecg_assets.open_shards(cohort.data_dir, "synthetic").records) == 200
    with pytest.raises(SettingsError, match="holds shards of synthetic; source is 'ptb-xl'"):
        ecg_assets.open_shards(cohort.data_dir, "ptb-xl")
    with pytest.raises(SettingsError, match="holds no shards"):
        ecg_assets.open_shards(cohort.source.root)


def test_millivolts_are_those_of_the_files(cohort: Cohort, shards: ecg_assets.Shards) -> None:
    names = good_records(cohort, 3)[::-1]
    found = shards.signals_mv(names, leads=["V2", "I"])
    assert found.shape == (3, 2, 5000)
    assert found.dtype == np.float32
    for at, name in enumerate(names):
        recording = cohort.source.recording(name)
        np.testing.assert_array_equal(found[at], [recording["V2"], recording["I"]])
        np.testing.assert_array_equal(shards.recording(name)["II"], recording["II"])
    with pytest.raises(SchemaError, match="lacks the columns"):
        shards.signals_mv(names, leads=["V6"])
    with pytest.raises(SchemaError, match="not in the 4 stored"):
        shards.recording("x")


def test_one_lead_is_given_by_its_name_alone_in_any_spelling(
    cohort: Cohort, shards: ecg_assets.Shards
) -> None:
    ids = good_records(cohort, 2)
    expected = shards.signals_mv(ids, leads=["II"])
    for leads in ("II", "ii", np.array(["II"])):
        np.testing.assert_array_equal(shards.signals_mv(ids, leads=leads), expected)  # type: ignore[arg-type]
    assert shards.dataset(record_ids=ids, leads="II").spec.leads == ("II",)


def test_a_choice_of_recordings_names_each_once_and_some(
    cohort: Cohort, shards: ecg_assets.Shards
) -> None:
    (name,) = good_records(cohort, 1)
    with pytest.raises(ValueError, match=f"record_ids names '{name}' twice"):
        shards.dataset(record_ids=[name, name])
    with pytest.raises(ValueError, match="record_ids is empty"):
        shards.dataset(record_ids=[])


def test_missing_samples_are_not_a_number(cohort: Cohort, shards: ecg_assets.Shards) -> None:
    missing = shards._shards.read(["record_id", "n_missing_I"]).set_index("record_id")
    counts = missing["n_missing_I"]
    signals = shards.signals_mv(counts.index.tolist(), leads=["I"])
    assert np.isnan(signals[:, 0]).sum(axis=1).tolist() == counts.tolist()
    assert counts.sum() > 0


def test_an_item_is_a_recording_in_millivolts_and_its_labels(
    cohort: Cohort, shards: ecg_assets.Shards
) -> None:
    labels = shards.labels()
    dataset = shards.dataset(labels=labels)
    assert isinstance(dataset, torch.utils.data.Dataset)
    assert dataset.label_names == tuple(labels.columns)
    assert len(dataset) == len(set(labels.index) & set(shards.index["record_id"]))
    assert dataset.left_out == {"unlabelled": len(shards) - len(dataset)}
    signal, target = dataset[-1]
    name = dataset.record_ids[-1]
    expected = np.nan_to_num(shards.signals_mv([name])[0])
    np.testing.assert_allclose(signal.numpy(), expected, atol=1e-6)
    assert target.tolist() == labels.loc[name].tolist()
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_a_loader_gives_the_items_in_batches_and_in_processes(shards: ecg_assets.Shards) -> None:
    dataset = shards.dataset(leads=["I"], segment_s=2.5, record_ids=shards.index["record_id"][:5])
    assert len(dataset) == 20
    assert dataset.segment_numbers.tolist() == [0, 1, 2, 3] * 5
    loaded: Any = list(DataLoader(dataset, batch_size=7))
    one = torch.cat(loaded)
    np.testing.assert_array_equal(one.numpy(), [np.asarray(dataset[i]) for i in range(20)])
    loader: Any = DataLoader(dataset, batch_size=7, num_workers=1, multiprocessing_context="spawn")
    assert torch.equal(torch.cat(list(loader)), one)


def test_a_spec_makes_model_input_of_it(cohort: Cohort, shards: ecg_assets.Shards) -> None:
    spec = signal_spec_of_kind("ecg-fm", leads=("II",))
    names = good_records(cohort, 4)
    twelve: Any = shards.dataset(spec=spec, record_ids=names)
    one: Any = shards.dataset(spec=spec, record_ids=names, n_channels=1)
    assert (twelve[0].shape, one[0].shape) == ((12, 2500), (1, 2500))
    assert torch.equal(twelve[3][5], one[3][0])
    with pytest.raises(ValueError, match="n_channels is 2; the spec gives 1 or 12 channels"):
        shards.dataset(spec=spec, record_ids=names, n_channels=2)


def test_unknown_targets_are_not_a_number(cohort: Cohort, shards: ecg_assets.Shards) -> None:
    names = good_records(cohort, 3)
    labels = pd.DataFrame({"a": [1, None, None], "b": [0, 1, None]}, index=names).astype("Int8")
    dataset = shards.dataset(labels=labels)
    targets = np.stack([target.numpy() for _, target in map(dataset.__getitem__, range(2))])
    by_name = dict(zip(dataset.record_ids, targets, strict=True))
    np.testing.assert_array_equal(by_name[names[0]], [1, 0])
    np.testing.assert_array_equal(by_name[names[1]], [np.nan, 1])
    assert dataset.left_out["unlabelled"] == len(shards) - 2
    with pytest.raises(ValueError, match="No recording is left"):
        shards.dataset(labels=labels.rename(index=lambda name: f"{name}x"))


def test_shards_alone_have_signals_and_say_what_they_lack(cohort: Cohort, tmp_path: Path) -> None:
    table = read_shard(next(cohort.stored.shards.glob("*.parquet")))
    rejects = pd.DataFrame(columns=[column.name for column in REJECTS.columns], dtype=str)
    write_shard(ShardTables(table, rejects), tmp_path / "a.parquet", tmp_path / "r" / "a.parquet")
    alone = ecg_assets.open_shards(tmp_path)
    assert (len(alone), alone.name, alone.leads) == (table.num_rows, "synthetic", LEADS)
    for ask in (lambda: alone.records, alone.labels, alone.splits):
        with pytest.raises(SettingsError, match="has shards alone"):
            ask()
    with pytest.raises(SettingsError, match="Give a cache_folder"):
        alone.dataset()
    assert len(alone.dataset(cache_folder=tmp_path / "cache")) == table.num_rows

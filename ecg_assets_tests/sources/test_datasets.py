"""Datasets and codings of other packages: what is refused, and how it is told."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from ecg_assets import entry_points
from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.evaluation.external.crosswalk import crosswalk_sources
from ecg_assets.labels import load_label_set, vocabulary_fingerprint
from ecg_assets.labels.codings import codings, find_coding
from ecg_assets.sources import Dataset, Remote, find_dataset
from ecg_assets.sources import datasets as list_datasets
from ecg_assets.sources.datasets import shared_recordings
from ecg_assets.sources.physionet2021 import PhysioNet2021
from ecg_assets.sources.ptb_xl import PTB_XL

WARD = Dataset("ward", "the ward's recordings", PhysioNet2021, "snomed-ct")
OTHER_NAME = Dataset("ward-2", "the ward's recordings", PhysioNet2021, "snomed-ct")
TAKEN_ENDING = Dataset(
    "ward",
    "the ward",
    PhysioNet2021,
    "snomed-ct",
    readers={"hdf5": lambda *_: None},  # type: ignore[dict-item]
)
UNKNOWN_CODING = Dataset("ward", "the ward", PhysioNet2021, "ward-codes")
BUILT_IN_NAME = Dataset("ptb-xl", "another PTB-XL", PhysioNet2021, "snomed-ct")
CODES: Path
MODULES = (list_datasets.__module__, codings.__module__)


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Install an entry point of this module for the time of a test."""
    registries = (
        list_datasets,
        codings,
        *(vars(sys.modules[module])["_brought"] for module in MODULES),
    )

    def install(group: str, name: str, value: str) -> None:
        entry = EntryPoint(name=name, value=f"{__name__}:{value}", group=group)
        found = {group: [entry]}
        monkeypatch.setattr(entry_points, "entry_points", lambda group: found.get(group, []))
        for registry in registries:
            registry.cache_clear()

    yield install
    monkeypatch.undo()
    for registry in registries:
        registry.cache_clear()


def test_dataset_of_another_package_stands_behind_the_built_in_ones(bring: Any) -> None:
    built_in = list(list_datasets())
    bring("ecg_assets.datasets", "ward", "WARD")
    assert list(list_datasets()) == [*built_in, "ward"]
    assert find_dataset("ward") is WARD
    assert WARD.remote is Remote.TABLES


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("NOTHING", "it cannot be loaded: AttributeError"),
        ("OTHER_NAME", "the dataset's name is 'ward-2'; it must be the entry point's"),
        ("TAKEN_ENDING", r"it reads \['hdf5'\], which have a reader here"),
        ("PTB_XL.name", "it is a str, expected a Dataset"),
    ],
)
def test_dataset_that_cannot_be_used_is_left_out_and_named_when_asked_for(
    bring: Any, value: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    bring("ecg_assets.datasets", "ward", value)
    with caplog.at_level(logging.WARNING):
        assert "ward" not in list_datasets()
    assert "Entry point 'ward'" in caplog.text
    known = "ECG_SOURCE is 'ward'; set it to one of mimic-iv-ecg, .*"
    with pytest.raises(SettingsError, match=f"{known} Entry point 'ward' .* left out: .*{reason}"):
        find_dataset("ward")


def test_no_package_replaces_a_built_in_dataset(bring: Any) -> None:
    bring("ecg_assets.datasets", "ptb-xl", "BUILT_IN_NAME")
    assert find_dataset("ptb-xl") is PTB_XL


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"name": "The Ward"}, "name is 'The Ward'; expected small letters"),
        ({"coding": "own-labels"}, "needs read_own_labels"),
        ({"read_own_labels": lambda source: ()}, "needs read_own_labels, and no other does"),
        ({"readers": {".npz": None}}, r"readers are of \['\.npz'\]"),
        ({"readers": {"a/b.npz": None}}, r"or names of files"),
    ],
)
def test_facts_that_cannot_be_are_refused(facts: dict[str, Any], reason: str) -> None:
    given = {"name": "ward", "title": "the ward", "open": PhysioNet2021, "coding": "snomed-ct"}
    with pytest.raises(ValueError, match=reason):
        Dataset(**{**given, **facts})


def test_dataset_whose_coding_is_missing_does_not_take_the_crosswalk_down(bring: Any) -> None:
    bring("ecg_assets.datasets", "ward", "UNKNOWN_CODING")
    table = crosswalk_sources(load_label_set("six-conditions"))
    assert set(table["evaluation_source"]) == set(list_datasets()) - {"ward"}


def test_shared_recordings_are_told_from_either_side() -> None:
    sentence = shared_recordings("ptb-xl", "physionet-2021")
    assert sentence == shared_recordings("physionet-2021", "ptb-xl")
    assert sentence and sentence.startswith("PhysioNet 2021 contains the recordings of PTB-XL")


def _bring_codes(bring: Any, file: Path, text: str) -> None:
    global CODES  # noqa: PLW0603 - an entry point names an object of a module
    CODES = file
    file.write_text(text, encoding="utf-8")
    bring("ecg_assets.codings", "ward-codes", "CODES")


def test_coding_of_another_package_is_read_and_makes_labels_stale(
    bring: Any, tmp_path: Path
) -> None:
    before = vocabulary_fingerprint()
    text = "has_likelihood: true\ncodes: {AF: Atrial fibrillation}\n"
    _bring_codes(bring, tmp_path / "codes.yaml", text)
    mention = find_coding("ward-codes").read("AF 70").mentions[0]
    assert (mention.concept, mention.probability, mention.rule) == (
        *("Atrial fibrillation", 0.7),
        "ward-codes code",
    )
    with_codes = vocabulary_fingerprint()
    _bring_codes(bring, tmp_path / "codes.yaml", text + "# edited\n")
    assert len({before, with_codes, vocabulary_fingerprint()}) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("codes: {AF: Nonsense}", r"names concepts that concepts\.yaml lacks: \['Nonsense'\]"),
        ("codes: {AF: Atrial fibrillation}\ncode: 1", r"unknown keys \['code'\]; allowed: codes"),
        ("codes: {A: Ischemia}\nnotes: {code: {}}", r"unknown keys \['code'\]; allowed: withheld"),
        ("concepts: {}", "expected a mapping `codes`"),
        ("codes: {AF: Ischemia, AF: Ischemia}", r"keys \['AF'\] stand there more than once"),
        ("codes: {", "this is no YAML"),
    ],
)
def test_coding_that_cannot_be_meant_is_left_out_and_named_when_asked_for(
    bring: Any, tmp_path: Path, text: str, reason: str
) -> None:
    _bring_codes(bring, tmp_path / "codes.yaml", text)
    assert "ward-codes" not in codings()
    with pytest.raises(SchemaError, match=f"(?s)coding is 'ward-codes'; expected one of.*{reason}"):
        find_coding("ward-codes")

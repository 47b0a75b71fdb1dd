"""Which files the labels' code version stands for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ecg_assets.labels
from ecg_assets.labels import vocabulary_fingerprint
from ecg_assets.labels.codings import STUDIES
from ecg_assets.labels.label_set import fingerprint_label_set

ROOM = Path(ecg_assets.labels.__file__).parent
TABLES = sorted(
    path.relative_to(ROOM).as_posix()
    for path in ROOM.rglob("*.yaml")
    if path.parent.name != STUDIES
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the room's files, which the test may change."""
    return Path(shutil.copytree(ROOM, tmp_path / "labels"))


def test_a_copy_of_the_tables_has_their_fingerprint(copy: Path) -> None:
    assert vocabulary_fingerprint(copy) == vocabulary_fingerprint()


@pytest.mark.parametrize("name", TABLES)
def test_an_edited_table_changes_the_fingerprint(name: str, copy: Path) -> None:
    with (copy / name).open("a", encoding="utf-8") as file:
        file.write("# edited\n")
    assert vocabulary_fingerprint(copy) != vocabulary_fingerprint()


@pytest.mark.parametrize("name", ["another_coding.yaml", "label_sets/another.yaml"])
def test_an_added_table_changes_the_fingerprint(name: str, copy: Path) -> None:
    (copy / name).write_text("codes: {}\n", encoding="utf-8")
    assert vocabulary_fingerprint(copy) != vocabulary_fingerprint()


def test_a_study_is_known_by_its_own_content(copy: Path) -> None:
    """A new one does not make labels stale that others asked for; an edited one its own."""
    (copy / STUDIES / "another.yaml").write_text("labels: {}\n", encoding="utf-8")
    assert vocabulary_fingerprint(copy) == vocabulary_fingerprint()
    edited = copy / STUDIES / "cpsc-2018.yaml"
    before = fingerprint_label_set(str(edited))
    assert before == fingerprint_label_set("cpsc-2018")
    edited.write_text(edited.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    assert fingerprint_label_set(str(edited)) != before


def test_two_tables_that_change_places_change_the_fingerprint(copy: Path) -> None:
    one, other = copy / "scp_ecg.yaml", copy / "snomed_ct.yaml"
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert vocabulary_fingerprint(copy) != vocabulary_fingerprint()

"""Files from anyone are read without running what they contain."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecg_assets.errors import CheckpointError, UnsafeCheckpoint
from ecg_assets.models import load_checkpoint
from ecg_assets.models.ecg_fm.fairseq_file import read_fairseq
from ecg_assets_tests.models.fairseq_checkpoints import write_finetuned


class _Code:
    """Makes a file when a pickle that holds it is loaded."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.witness}",)


@pytest.mark.parametrize("place", ["cfg", "extra_state", "model"])
def test_a_file_that_carries_code_is_refused_and_the_code_does_not_run(
    place: str, tmp_path: Path
) -> None:
    witness = tmp_path / "ran"
    path = write_finetuned(tmp_path / "a.pt")
    content = torch.load(path, weights_only=True)
    content[place]["hidden"] = _Code(witness)
    torch.save(content, path)
    with pytest.raises(UnsafeCheckpoint, match=r"asks for (posix|nt)\.system"):
        load_checkpoint(path)
    assert not witness.exists()
    torch.load(path, weights_only=False)
    assert witness.exists(), "the test's own code never runs, so it proves nothing"


@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_refused_in_each_form_of_a_pickle(protocol: int, tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    torch.save(
        {"cfg": {"model": {}}, "model": {}, "hidden": _Code(witness)},
        tmp_path / "a.pt",
        pickle_protocol=protocol,
    )
    with pytest.raises(UnsafeCheckpoint, match="nothing of it was run"):
        read_fairseq(tmp_path / "a.pt")
    assert not witness.exists()


def test_a_changed_byte_in_a_weight_is_noticed(tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"archive/data/\d+ in it does not have the checksum"):
        read_fairseq(path)


@pytest.mark.parametrize("at", [0, 0.2, 0.5, 0.9])
def test_a_damaged_pickle_is_refused(at: float, tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt")
    with (
        zipfile.ZipFile(path) as whole,
        zipfile.ZipFile(tmp_path / "b.pt", "w") as damaged,
    ):
        for name in whole.namelist():
            data = bytearray(whole.read(name))
            if name.endswith("/data.pkl"):
                start = int(at * len(data))
                data[start : start + 8] = b"\xff" * 8
            damaged.writestr(name, bytes(data))
    with pytest.raises(CheckpointError):
        read_fairseq(tmp_path / "b.pt")


def test_a_class_of_another_package_is_refused_and_named(tmp_path: Path) -> None:
    torch.save({"cfg": {"model": {}}, "model": {}, "path": Path("x")}, tmp_path / "a.pt")
    with pytest.raises(UnsafeCheckpoint, match=r"pathlib\.PosixPath|pathlib\._local"):
        read_fairseq(tmp_path / "a.pt")


@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_numbers_of_numpy_2_and_1_are_read(module: bytes, tmp_path: Path) -> None:
    content = torch.load(write_finetuned(tmp_path / "new.pt"), weights_only=True)
    content["extra_state"]["metrics"] = {
        "loss": np.float64(0.25),
        "n": np.int64(3),
        "scores": np.arange(3, dtype=np.float32),
        "labels": np.array([True, False]),
    }
    torch.save(content, tmp_path / "new.pt")
    with (
        zipfile.ZipFile(tmp_path / "new.pt") as new,
        zipfile.ZipFile(tmp_path / "a.pt", "w") as old,
    ):
        for name in new.namelist():
            data = new.read(name)
            if name.endswith("/data.pkl"):
                assert b"cnumpy._core.multiarray\n" in data
                data = data.replace(b"cnumpy._core.multiarray\n", b"c" + module + b"\n")
            old.writestr(name, data)
    found = read_fairseq(tmp_path / "a.pt").extra_state["metrics"]
    assert (found["loss"], found["n"]) == (0.25, 3)
    assert found["scores"].tolist() == [0, 1, 2]
    assert found["labels"].tolist() == [True, False]


def test_a_missing_file_and_one_that_torch_did_not_write_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No checkpoint file at"):
        load_checkpoint(tmp_path / "none.pt")
    (tmp_path / "page.pt").write_text("<html>404</html>")
    with pytest.raises(CheckpointError, match="a page that a failed download left"):
        load_checkpoint(tmp_path / "page.pt")
    (tmp_path / "empty.pt").touch()
    with pytest.raises(CheckpointError, match=r"not a checkpoint that torch\.save"):
        load_checkpoint(tmp_path / "empty.pt")
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(CheckpointError, match=r"no data\.pkl"):
        load_checkpoint(tmp_path / "other.pt")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_file_is_called_cut_off(share: float, tmp_path: Path) -> None:
    path = write_finetuned(tmp_path / "a.pt")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="cut off or damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"dense.weight": torch.zeros(1)}},
        {"cfg": {"model": {}}, "model": {}},
        {"cfg": None, "model": {"a": torch.zeros(1)}},
        [torch.zeros(1)],
    ],
)
def test_a_torch_file_of_another_program_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="no checkpoint of fairseq-signals"):
        read_fairseq(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"no checkpoint of .*(fairseq-signals|ECG-FM)"):
        load_checkpoint(tmp_path / "a.pt")

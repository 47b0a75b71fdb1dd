"""The checkpoint folder of whatever fine-tuning is told to start from."""

from __future__ import annotations

from pathlib import Path

from ecg_assets.errors import CheckpointError
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint_files import CONFIG, IMPORT_REPORT, WEIGHTS
from ecg_assets.models.families import family_of_file
from ecg_assets.models.import_report import IMPORT_VERSION
from ecg_assets.models.torch_file import read_torch_file


def imported_folder(path: Path, cache: Path) -> Path:
    """Return a checkpoint folder as it is, and that of a file, imported once.

    Parameters
    ----------
    path
        A checkpoint folder, or a file that the authors of a family of `FAMILIES` publish.
    cache
        Imports stand below it, by the file's content: a changed file is imported anew.

    Raises
    ------
    CheckpointError
        As the family's import, or when there is nothing at `path`.
    """
    if path.is_dir():
        return path
    if not path.is_file():
        raise CheckpointError(
            f"No pretrained checkpoint at {path}. Give a checkpoint folder, or a file that the "
            "model's authors published, e.g. a .pt file of fairseq-signals."
        )
    identity = {"file": fingerprint_file(path), "import_version": IMPORT_VERSION}
    folder = cache / fingerprint_json(identity)
    if not all((folder / name).is_file() for name in (CONFIG, WEIGHTS, IMPORT_REPORT)):
        family_of_file(read_torch_file(path), path).import_file(path, folder)
    return folder

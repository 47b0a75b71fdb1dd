"""A made-up cohort in the layout of MIMIC-IV-ECG v1.0, for whoever has no data.

``python -m ecg_assets.sources.synthetic.cohort FOLDER --records 400 --seed 1`` writes one.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ecg_assets.errors import SettingsError
from ecg_assets.sources.synthetic import MARKER
from ecg_assets.sources.synthetic.files import Progress, write_cohort_files
from ecg_assets.sources.synthetic.plan import plan_cohort
from ecg_assets.storage import replace_folder

GENERATOR_VERSION = 1
"""Counts up when the same parameters give another cohort."""

_REQUIRED = (MARKER, "record_list.csv", "machine_measurements.csv", "patients.csv.gz", "files")


@dataclass(frozen=True)
class CohortParameters:
    """What determines a synthetic cohort, byte for byte.

    Attributes
    ----------
    n_records
        Recordings, at least one a top folder.
    seed
        Seed of every random choice, 0 or above.
    n_shards
        Top folders p1000, p1001, …: 1 to 99.
    """

    n_records: int
    seed: int
    n_shards: int

    def __post_init__(self) -> None:
        if not 1 <= self.n_shards <= 99:
            raise SettingsError(f"n_shards is {self.n_shards}; allowed: 1 to 99.")
        if not self.n_shards <= self.n_records <= 20_000:
            raise SettingsError(
                f"n_records is {self.n_records}; allowed: n_shards = {self.n_shards} to 20000."
            )
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}; it must be 0 or above.")

    def to_json(self) -> dict[str, Any]:
        """Content of the marker file."""
        return {"generator_version": GENERATOR_VERSION, **asdict(self)}


def write_synthetic_cohort(
    root: Path,
    *,
    n_records: int = 800,
    seed: int = 0,
    n_shards: int = 4,
    progress: Progress | None = None,
) -> bool:
    """Write a synthetic cohort, or do nothing when the very same one stands there.

    The cohort appears all at once. The same parameters give the same bytes. Rare findings are
    enriched: each of ECG-FM's 17 labels has 40 or more positives in 800 recordings, and can
    be seen in Lead I. About 2 % of the studies have a planted fault, listed with its
    `study_id` in `planted_faults.csv`.

    Parameters
    ----------
    root
        Folder to write: new, empty, or a cohort of the same parameters.
    n_records
        Recordings of 10 s, 1 to 6 a patient.
    seed
        Seed of every random choice.
    n_shards
        Top folders to spread the patients over.
    progress
        Told of each recording.

    Returns
    -------
    bool
        Whether it was written now.

    Raises
    ------
    SettingsError
        When a parameter is out of range, or anything else stands at `root`. Nothing is overwritten.
    """
    parameters = CohortParameters(n_records, seed, n_shards)
    if cohort_stands(root, parameters):
        return False
    plan = plan_cohort(n_records, seed=seed, n_shards=n_shards)
    with replace_folder(root) as folder:
        write_cohort_files(folder, plan, seed=seed, progress=progress)
        marker = json.dumps(parameters.to_json(), indent=2) + "\n"
        (folder / MARKER).write_text(marker, encoding="utf-8")
    return True


def cohort_stands(root: Path, parameters: CohortParameters) -> bool:
    """Say whether this very cohort stands at `root`; False when there is nothing.

    Raises
    ------
    SettingsError
        When something else stands there.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    wanted = parameters.to_json()
    advice = "Choose another folder, or remove this one yourself if nobody needs it."
    marker = root / MARKER
    if not marker.is_file():
        raise SettingsError(
            f"Expected a new or empty folder for a synthetic cohort at {root}; found "
            f"{'other files' if root.is_dir() else 'a file'} there and no {MARKER}. If these are "
            "recordings, set ECG_SOURCE to what they are, e.g. folder for recordings of your own; "
            "for a synthetic cohort unset ECG_RAW_ROOT, or choose another folder."
        )
    found = _read_marker(marker)
    missing = [name for name in _REQUIRED if not (root / name).exists()]
    if found != wanted or missing:
        raise SettingsError(
            f"Expected the synthetic cohort {wanted} at {root}; found {found}, "
            f"missing files: {missing or 'none'}. {advice}"
        )
    return True


def _read_marker(marker: Path) -> Any:
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return f"an unreadable {MARKER}"


def main(arguments: Sequence[str]) -> str:
    """Run the command and return what it says."""
    parser = argparse.ArgumentParser(
        prog="python -m ecg_assets.sources.synthetic.cohort",
        description="Write a made-up cohort in the layout of MIMIC-IV-ECG. Nothing is overwritten.",
    )
    parser.add_argument("folder", type=Path, help="new or empty folder")
    parser.add_argument("--records", type=int, default=800, help="recordings of 10 s (800)")
    parser.add_argument("--seed", type=int, default=0, help="0 is the seed of the demo's cohort")
    chosen = parser.parse_args(arguments)
    root = chosen.folder.expanduser().resolve()
    try:
        is_new = write_synthetic_cohort(
            root, n_records=chosen.records, seed=chosen.seed, progress=_show_progress
        )
    except (SettingsError, OSError) as error:
        parser.error(str(error))
    state = "written to" if is_new else "stand already at"
    settings = f"ECG_SOURCE=mimic-iv-ecg ECG_RAW_ROOT={shlex.quote(str(root))}"
    return (
        f"{chosen.records} recordings {state} {root}.\n"
        f"To use them: export {settings} ECG_FOLDERS_PER_SHARD=1"
    )


def _show_progress(n_written: int, n_records: int) -> None:
    if n_written % 100 == 0 or n_written == n_records:
        sys.stderr.write(f"{n_written} of {n_records} recordings\n")


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")

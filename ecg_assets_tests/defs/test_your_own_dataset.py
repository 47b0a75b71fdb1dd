"""The page on a dataset of one's own: its files make a package whose recordings are labelled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ecg_assets_tests.outside_package import install_package
from ecg_assets_tests.test_readme import ROOT

PAGE = ROOT / "docs" / "your_own_dataset.md"
VISITS = """\
visit,patient,age,sex,codes,file
1,P1,61,F,SR,2024.npz
2,P1,62,F,AF RBBB,2024.npz
3,P2,,M,(none),2024.npz
4,P3,47,w,,2025.npz
5,P3,47,w,PM XY,2025.npz
"""


def _write_ward(root: Path) -> None:
    """Write five visits, of which the last has no tracing."""
    root.mkdir()
    (root / "visits.csv").write_text(VISITS, encoding="utf-8")
    seed = np.random.default_rng(0)
    tracings = {str(visit): seed.normal(0, 0.2, (3, 5000)) for visit in range(1, 5)}
    for year, visits in (("2024", "123"), ("2025", "4")):
        chosen: dict[str, Any] = {visit: tracings[visit] for visit in visits}
        np.savez(root / f"{year}.npz", **chosen)


def test_the_pages_dataset_is_labelled_and_stored(tmp_path: Path) -> None:
    site = tmp_path / "site"
    environment = install_package(PAGE, site)
    _write_ward(tmp_path / "ward")
    result = tmp_path / "result.json"
    program = [sys.executable, "-m", "ecg_assets_tests.defs.outside_dataset"]
    done = subprocess.run(
        [*program, tmp_path / "ward", result],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(result.read_text(encoding="utf-8"))
    assert found["datasets"][-1] == "ward"
    assert found["codings"][-1] == "ward-codes"
    assert found["shards"] == ["2024", "2025"]
    assert [row["subject_id"] for row in found["records"]] == ["P1", "P1", "P2", "P3", "P3"]
    assert [row["sex"] for row in found["records"]] == ["F", "F", "M", "F", "F"]
    assert found["labels"] == {
        "ward_1": ["Sinus rhythm"],
        "ward_2": ["Atrial fibrillation", "Right bundle branch block"],
        "ward_5": ["Electronic pacemaker"],
    }
    assert found["labelled"] == ["ward_1", "ward_2", "ward_3", "ward_5"]
    assert found["rejects"] == [["ward_5", "unreadable"]]
    assert found["crosswalk"]["Electronic pacemaker"] == (
        "Ward code PM names the concept Electronic pacemaker. "
        "PM does not tell whether the pacemaker stimulated."
    )
    assert found["crosswalk"]["Tachycardia"] == (
        "No ward code of the ward's system names Tachycardia, or a finding that implies it."
    )

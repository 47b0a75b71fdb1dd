"""The page about files of recordings: every reason, and the bounds as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ecg_assets
from ecg_assets.sources import file_limits as bounds
from ecg_assets.sources.reader_process import MOST_SECONDS
from ecg_assets.sources.schema import RR_INTERVALS_MS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "formats" / "recordings.md"


def test_every_reason_of_a_reject_is_explained() -> None:
    code = Path(ecg_assets.__file__).parent
    files = [*(code / "sources").rglob("*.py"), *(code / "preprocess").rglob("*.py")]
    raised = {
        reason
        for file in files
        for reason in re.findall(r'BadRecord\(\s*"(\w+)"', file.read_text(encoding="utf-8"))
    }
    reasons = PAGE.read_text(encoding="utf-8").partition("## Reasons")[2]
    explained = {
        name
        for line in re.findall(r"(?m)^\| (`.*?`) \|", reasons)
        for name in re.findall(r"`(\w+)`", line)
    }
    assert explained == raised


@pytest.mark.parametrize(
    "stated",
    [
        f"samples of a lead | {bounds.MOST_SAMPLES:,}",
        f"16-bit WFDB | {bounds.MOST_VALUES:,}",
        f"otherwise | {bounds.MOST_DECODED_VALUES:,}",
        f"`.csv` | {bounds.MOST_TEXT_BYTES >> 20} MiB",
        f"`.xml` or `.scp` | {bounds.MOST_HOSPITAL_BYTES >> 20} MiB",
        f"samples a second | {bounds.SAMPLE_RATES_HZ[0]:.0f} to {bounds.SAMPLE_RATES_HZ[1]:,.0f}",
        f"RR interval is {RR_INTERVALS_MS[0]:.0f} to {RR_INTERVALS_MS[1]:.0f} ms",
        f"more than {MOST_SECONDS} s",
    ],
)
def test_bounds_are_those_of_the_code(stated: str) -> None:
    assert stated in PAGE.read_text(encoding="utf-8").replace("\n", " ")

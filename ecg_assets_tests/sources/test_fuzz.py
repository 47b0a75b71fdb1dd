"""Ten thousand damaged recordings: only `BadRecord`, bounded memory, no file outside the root."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ecg_assets.errors import BadRecord
from ecg_assets.sources import read_recording
from ecg_assets_tests.sources.wfdb_recordings import digital, write_recording

N_CASES = 10_000
MOST_MIB = 1500  # wfdb holds some copies of the 64 M samples that a gap may announce

_NASTY = [
    *("-1", "0", "1", "12", "1e308", "-1e-308", "nan", "inf", "9" * 20, "2147483648"),
    *("../secret.dat", "/etc/passwd", "..", ".", "~", "link.dat", "secret.dat", "x" * 300),
    *("16", "16x2", "16x99999", "16+4", "16:3", "16:-9", "212", "508", "516", "8", "0", "310"),
    *("200(0)/mV", "0/mV", "-200/mV", "200(99999999999)/uV", "1/nV", "nan/mV", "1e400/mV"),
    *("500/500(3)", "500:99", "\x00", "\u0663", "#", "", "12/3", "100_1", "aVR", "\xb5V"),
]


def _damage_text(content: bytes, dice: random.Random) -> bytes:
    lines = content.decode("latin-1").split("\n")
    for _ in range(dice.randint(2, 5)):
        at = dice.randrange(len(lines))
        words = lines[at].split(" ")
        choice = dice.randrange(6)
        if choice <= 2:
            words[dice.randrange(len(words))] = dice.choice(_NASTY)
            lines[at] = " ".join(words)
        elif choice == 3:
            lines.insert(at, dice.choice(lines))
        elif choice == 4 and len(lines) > 1:
            del lines[at]
        else:
            lines[at] = (
                lines[at] + dice.choice([" ", "\r", "\t", "\x00", "é"]) + dice.choice(_NASTY)
            )
    return "\n".join(lines).encode("utf-8", "replace")


def _damage_bytes(content: bytes, dice: random.Random) -> bytes:
    data = bytearray(content)
    choice = dice.randrange(4)
    if choice == 0:
        return bytes(data[: dice.randrange(len(data) + 1)])
    if choice == 1:
        return bytes(data) + dice.randbytes(dice.randrange(500))
    for _ in range(dice.randint(1, 20)):
        if data:
            data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


def _write_seeds(folder: Path) -> None:
    """Write one recording of each form that the reader knows."""
    for fmt in ("16", "24", "32", "80"):
        write_recording(folder, f"f{fmt}", signal=digital(60, bits=8), fmt=fmt)
    for fmt in ("212", "310", "61"):  # wfdb reads them but writes none; without checksums
        (folder / f"f{fmt}.hea").write_text(f"f{fmt} 2 500 60\n" + f"f{fmt}.dat {fmt} 200\n" * 2)
        (folder / f"f{fmt}.dat").write_bytes(random.Random(1).randbytes(240))
    for part in ("s1", "s2"):
        write_recording(folder, part, signal=digital(40))
    (folder / "multi.hea").write_text("multi/2 3 500 80\ns1 40\ns2 40\n")
    (folder / "array.csv").write_text("I,II\n" + "0.1,0.2\n" * 50)
    (folder / "folder.yaml").write_text("sample_rate_hz: 500\nleads: [I, II]\n")


def _run_cases(folder: Path, n_cases: int) -> dict[str, object]:
    """Damage, read, count; called in a process of its own, whose memory is then measured."""
    root, outside = folder / "root", folder / "secret.dat"
    _write_seeds(root)
    outside.write_bytes(b"\x01\x00" * 10_000)
    (root / "link.dat").symlink_to(outside)
    seeds = {p.name: p.read_bytes() for p in sorted(root.iterdir()) if not p.is_symlink()}
    stems = [name.removesuffix(".hea") for name in seeds if name.endswith(".hea")] + ["array.csv"]
    opened: set[str] = set()
    _warm_up(root, stems)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            opened.add(os.path.realpath(os.fsdecode(arguments[0])))

    sys.addaudithook(watch)
    outcomes: Counter[str] = Counter()
    dice = random.Random(0)
    for _ in range(n_cases):
        stem = dice.choice(stems)
        files = [n for n in seeds if n == stem or n.startswith((f"{stem}.", "s1.", "s2."))]
        name = dice.choice(files)
        is_text = not name.endswith(".dat")
        damage = _damage_text if is_text and dice.random() < 0.8 else _damage_bytes
        (root / name).write_bytes(damage(seeds[name], dice))
        outcomes[_read(root / stem, root)] += 1
        (root / name).write_bytes(seeds[name])
    allowed = (str(root) + os.sep, sys.prefix, sys.base_prefix, "/proc/", "/sys/", "/dev/")
    return {
        "outcomes": outcomes,
        "outside": sorted(path for path in opened if not path.startswith(allowed)),
        "secret": str(outside) in opened,
    }


def _read(path: Path, root: Path) -> str:
    try:
        record = read_recording(path, root=root)
        record.physical()
    except BadRecord as error:
        return error.reason
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "read"


def _warm_up(root: Path, stems: list[str]) -> None:
    """Import what the reader imports late: modules are no files of a recording."""
    for stem in stems:
        assert _read(root / stem, root) == "read", stem


def test_damaged_recordings_end_in_bad_record_and_harm_nothing(tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", __name__, str(tmp_path), str(N_CASES)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = json.loads(printed.splitlines()[-1])
    outcomes: dict[str, int] = found["outcomes"]
    assert sum(outcomes.values()) == N_CASES
    assert [name for name in outcomes if " " in name] == []  # a reason is one word
    assert outcomes["bad_header"] > 500
    assert outcomes["outside_root"] > 20
    assert 500 < outcomes["read"] < 0.7 * N_CASES
    assert found["outside"] == []
    assert not found["secret"]
    if found["mib"] is None:
        pytest.skip("memory is measured on Linux alone")
    assert found["mib"] < MOST_MIB


def _peak_mib() -> float | None:
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    result = _run_cases(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps({**result, "mib": _peak_mib()}))

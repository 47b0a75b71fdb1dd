"""Damage recordings of every format that is read, read them, and count how that ends.

    python -m ecg_assets_tests.sources.fuzz 10000 --seed 0

prints one JSON object: recordings that were read, bad records by reason, and anything else, which
may not occur; files outside the root that were opened; the peak of memory, also of the process that
reads for this one (the last of them, where a reader crashed).
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import random
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from ecg_assets.errors import BadRecord
from ecg_assets.sources import read_recording
from ecg_assets.sources.reader_process import call_in_child
from ecg_assets_tests.sources.wfdb_recordings import digital, write_recording

_NAME = "ecg_assets_tests.sources.fuzz"  # as a command this module is __main__
_NASTY = [
    *("-1", "0", "1", "12", "1e308", "-1e-308", "nan", "inf", "9" * 20, "2147483648"),
    *("../secret.dat", "/etc/passwd", "..", ".", "~", "link.dat", "secret.dat", "x" * 300),
    *("16", "16x2", "16x99999", "16+4", "16:3", "16:-9", "212", "508", "516", "8", "0", "310"),
    *("200(0)/mV", "0/mV", "-200/mV", "200(99999999999)/uV", "1/nV", "nan/mV", "1e400/mV"),
    *("500/500(3)", "500:99", "\x00", "\u0663", "#", "", "12/3", "100_1", "aVR", "\xb5V"),
]
_HEADER_BYTES = 512
"""Where binary formats say what follows; damage there reaches more than damage of samples."""


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
    choice = dice.randrange(6)
    if choice == 0:
        return bytes(data[: dice.randrange(len(data) + 1)])
    if choice == 1:
        return bytes(data) + dice.randbytes(dice.randrange(500))
    reach = len(data) if choice <= 3 else min(len(data), _HEADER_BYTES)
    for _ in range(dice.randint(1, 20)):
        if reach:
            data[dice.randrange(reach)] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
    return bytes(data)


def _write_seeds(folder: Path) -> None:
    """Write one recording of each form that is read."""
    for fmt in ("16", "24", "32", "80", "516", "524"):
        write_recording(folder, f"f{fmt}", signal=digital(60, bits=8), fmt=fmt)
    for fmt in ("212", "310", "311", "61", "160", "8"):  # wfdb reads them but writes none of these
        (folder / f"f{fmt}.hea").write_text(f"f{fmt} 2 500 60\n" + f"f{fmt}.dat {fmt} 200\n" * 2)
        (folder / f"f{fmt}.dat").write_bytes(random.Random(1).randbytes(240))
    for part in ("s1", "s2"):
        write_recording(folder, part, signal=digital(40))
    (folder / "multi.hea").write_text("multi/2 3 500 80\ns1 40\ns2 40\n")
    layout = (folder / "s1.hea").read_text().replace("s1.dat 16", "~ 0")
    (folder / "layout.hea").write_text(layout.replace("s1 3 500 40", "layout 3 500 0"))
    (folder / "gaps.hea").write_text("gaps/4 3 500 90\nlayout 0\ns1 40\n~ 10\ns2 40\n")
    (folder / "frames.hea").write_text("frames 2 125 20\n" + "frames.dat 16x4 200\n" * 2)
    (folder / "frames.dat").write_bytes(random.Random(2).randbytes(320))
    _write_arrays(folder)


def _write_arrays(folder: Path) -> None:
    millivolts = np.random.default_rng(1).normal(size=(2, 60))
    (folder / "table.csv").write_text("I,II\n" + "0.1,0.2\n" * 50)
    np.save(folder / "array.npy", millivolts)
    np.save(folder / "float32.npy", np.asfortranarray(millivolts.T, dtype=np.float32))
    scipy.io.savemat(folder / "plain.mat", {"val": millivolts, "fs": 500.0})
    scipy.io.savemat(folder / "packed.mat", {"feats": millivolts}, do_compression=True)
    scipy.io.savemat(folder / "old.mat", {"signal": millivolts}, format="4")
    tracings = np.random.default_rng(2).normal(size=(3, 200, 12)).astype(np.float32)
    for name, packed in (
        ("exams_part0", {}),
        ("packed", {"compression": "gzip", "chunks": (1, 100, 12)}),
    ):
        with h5py.File(folder / f"{name}.hdf5", "w") as file:
            file["exam_id"] = np.array([5, 7, 7 + (not packed)])
            file.create_dataset("tracings", data=tracings[[0, 1, 1]], **packed)
    with h5py.File(folder / "A00001.h5", "w") as file:
        file["ecg"] = tracings[0].T.astype(np.float16)
    (folder / "folder.yaml").write_text("sample_rate_hz: 500\nleads: [I, II]\n")


_ARRAYS = (".csv", ".npy", ".mat", ".hdf5", ".h5")


def _read(path: Path, root: Path) -> str:
    path = Path(f"{path}#7") if path.suffix == ".hdf5" else path
    try:
        read_recording(path, root=root).physical()
    except BadRecord as error:
        return "reader_crashed" if "its reader crashed" in error.detail else error.reason
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "read"


def fuzz(root: Path, n_cases: int, seed: int) -> dict[str, Any]:
    """Write recordings below a root; damage one, read it, restore it, again and again.

    To be called in a process of its own: it watches which files are opened.
    """
    root.mkdir()
    _write_seeds(root)
    outside = root.parent / "secret.dat"
    outside.write_bytes(b"\x01\x00" * 10_000)
    (root / "link.dat").symlink_to(outside)
    seeds = {p.name: p.read_bytes() for p in sorted(root.iterdir()) if not p.is_symlink()}
    stems = [name.removesuffix(".hea") for name in seeds if name.endswith(".hea")]
    stems.remove("layout")
    stems += [name for name in seeds if name.endswith(_ARRAYS)]
    undamaged = {stem: _read(root / stem, root) for stem in stems}  # and imports what is needed
    warnings.simplefilter("ignore")  # one opens the line of code that it quotes
    opened = _watch_opened_files()
    outcomes: Counter[str] = Counter()
    dice = random.Random(seed)
    for _ in range(n_cases):
        stem = dice.choice(stems)
        parts = ("s1.", "s2.", "layout.") if stem in {"multi", "gaps"} else ()
        files = [n for n in seeds if n == stem or n.startswith((f"{stem}.", *parts))]
        name = dice.choice(files)
        is_text = name.endswith((".hea", ".csv"))
        damage = _damage_text if is_text and dice.random() < 0.8 else _damage_bytes
        (root / name).write_bytes(damage(seeds[name], dice))
        outcomes[_read(root / stem, root)] += 1
        (root / name).write_bytes(seeds[name])
    allowed = (str(root) + os.sep, sys.prefix, sys.base_prefix, "/proc/", "/sys/", "/dev/")
    return {
        "undamaged": undamaged,
        "outcomes": dict(outcomes.most_common()),
        "outside": sorted(path for path in opened if not path.startswith(allowed)),
        "secret": str(outside) in opened,
        "mib": _peak_mib(),
        "mib_of_child": call_in_child(pkgutil.resolve_name(f"{_NAME}:_peak_mib")),
    }


def _watch_opened_files() -> set[str]:
    """Collect what this process opens from now on; the child of `reader_process` is not seen."""
    opened: set[str] = set()

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            opened.add(os.path.realpath(os.fsdecode(arguments[0])))

    sys.addaudithook(watch)
    return opened


def _peak_mib() -> float | None:
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def main(arguments: list[str]) -> str:
    """Run the command and return what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("n_cases", type=int)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = fuzz(Path(folder).resolve() / "root", chosen.n_cases, chosen.seed)
    return json.dumps(found, indent=1)


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")

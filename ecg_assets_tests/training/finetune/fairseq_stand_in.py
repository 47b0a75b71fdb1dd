"""A stand-in for an environment with fairseq-signals: an interpreter and the packages it needs.

Its training prints log lines as the real one does and "trains" by copying a checkpoint.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ecg_assets.training.fairseq_signals.install import CONFIG_FOLDER

TRAIN = """
import json, os, pathlib, shutil, sys, time
root = pathlib.Path(__file__).parents[1]
arguments = sys.argv[1:]
(root / "call.json").write_text(json.dumps({"arguments": arguments, "pid": os.getpid()}))
options = dict(token.split("=", 1) for token in arguments if "=" in token)
saved = pathlib.Path(options["checkpoint.save_dir"])

def log(tag, **values):
    text = {k: v if k in ("epoch", "update") else str(v) for k, v in values.items()}
    print(f"[2026-01-01 10:00:00,000][{tag}][INFO] - {json.dumps(text)}")

print("[2026-01-01 10:00:00,000][fairseq_cli.train][INFO] - {'common': {}}")
saved.mkdir()
for epoch, loss in enumerate((1.2, 1.0, 1.1), start=1):
    log("train_inner", epoch=epoch, update=epoch - 0.5, loss=1.3, num_updates=5 * epoch)
    log("valid", epoch=epoch, valid_loss=loss, valid_auroc=0.7, valid_num_updates=10 * epoch)
    log("test", epoch=epoch, test_loss=1.5, test_auroc=0.6)
    if loss <= 1.0 or epoch == 1:
        shutil.copy(root / "trained.pt", saved / "checkpoint_best.pt")
    log("train", epoch=epoch, train_loss=1.25, train_lr=5e-05, train_wall=10 * epoch)
    if (root / "fail.txt").exists():
        sys.exit((root / "fail.txt").read_text())
    if (root / "hang.txt").exists():
        time.sleep(600)
"""


def write_stand_in(folder: Path) -> Path:
    """Write the stand-in and return its interpreter; ``folder/clone`` is what it has installed."""
    clone = folder / "clone"
    files = {
        "fairseq_signals/__init__.py": "",
        "fairseq_signals/version.txt": "1.0.0a0",
        "fairseq_signals/data/data_utils_fast.so": "",
        "fairseq_cli/__init__.py": "",
        "fairseq_cli/hydra_train.py": TRAIN,
        f"{CONFIG_FOLDER.as_posix()}/diagnosis.yaml": "",
        "sitecustomize.py": "import platform\nplatform.python_version = lambda: '3.10.99'\n",
        "torch.py": (
            "from types import SimpleNamespace as S\n"
            "__version__ = '2.0'\n"
            "version = S(cuda='11.8')\n"
            "cuda = S(is_available=lambda: True, device_count=lambda: 1,"
            " get_device_name=lambda at: 'Stand-in GPU')\n"
        ),
    }
    for name in ("numpy", "omegaconf", "hydra", "transformers", "sklearn", "scipy"):
        files[f"{name}.py"] = "__version__ = '1.0'\n"
    for name, text in files.items():
        path = clone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{clone}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return python

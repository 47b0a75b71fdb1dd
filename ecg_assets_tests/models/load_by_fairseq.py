"""Load a checkpoint with fairseq-signals' own code; its interpreter runs this file.

``python load_by_fairseq.py CHECKPOINT SIGNALS`` prints, as JSON, the logits for the signals
(.npy) and the number of updates with which its trainer would continue. It imports nothing of
ours.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(checkpoint: Path, signals: Path) -> None:
    """Print logits and updates."""
    # Inside, because the test run imports this file without having fairseq-signals.
    import numpy as np
    import torch
    from fairseq_signals.trainer import Trainer  # type: ignore[import-not-found]
    from fairseq_signals.utils import checkpoint_utils  # type: ignore[import-not-found]

    model, cfg, task = checkpoint_utils.load_model_and_task(str(checkpoint))
    source = torch.from_numpy(np.load(signals))
    with torch.no_grad():
        logits = model.eval()(source=source, padding_mask=None)["out"]
    trainer = Trainer(cfg, task, model, task.build_criterion(cfg.criterion))
    extra = trainer.load_checkpoint(str(checkpoint))
    found = {"logits": logits.tolist(), "epoch": extra["train_iterator"]["epoch"]}
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

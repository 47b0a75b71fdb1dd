"""Entry point of the child that runs fairseq-signals, takes its checkpoint and scores it.

``python -m ecg_assets.defs.fairseq_process request.json``; see `training_process`.
fairseq-signals runs in this process's group, so that it ends with it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ecg_assets.defs.training_process import Report, run_in_child


def main(request_path: Path) -> None:
    """Run the request at a path and report the finished checkpoint's folder."""

    def train(report: Report) -> Path:
        from ecg_assets.finetune.fairseq_finetuning import finetune_with_fairseq
        from ecg_assets.finetune.fairseq_request import FairseqRequest

        request = FairseqRequest.from_json(json.loads(request_path.read_text(encoding="utf-8")))
        return finetune_with_fairseq(request, report)

    run_in_child(train)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Entry point of the pre-training child.

``python -m ecg_assets.defs.pretraining_process request.json``; see `training_process`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ecg_assets.defs.training_process import Report, run_in_child


def main(request_path: Path) -> None:
    """Run the request at a path and report the finished checkpoint's folder."""

    def train(report: Report) -> Path:
        from ecg_assets.pretrain import PretrainRequest, pretrain

        return pretrain(PretrainRequest.from_json_file(request_path), report)

    run_in_child(train)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

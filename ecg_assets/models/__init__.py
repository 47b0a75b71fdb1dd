"""Model architectures, checkpoint folders, and inference.

Belongs here: the model families (ECG-FM, ECGFounder, ECG-LFM, those of other packages) behind one
interface (`EcgClassifier`, `FAMILIES`), the format of a checkpoint folder, import of published
files, export to fairseq-signals and ONNX, scores of recordings (`Predictions`). Does not belong
here: training (finetune), metrics (evaluation), the .mat and manifest formats (preprocess, build).
Used by finetune, pretrain, evaluation and defs. Importing this package loads no torch; the names in
`_NEEDS_TORCH` load it when they are asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ecg_assets.models.checkpoint_folder import (
    CheckpointCard,
    read_card,
    read_validation_predictions,
)
from ecg_assets.models.predictions import Predictions

if TYPE_CHECKING:
    from ecg_assets.models.checkpoint import load_trained
    from ecg_assets.models.ecg_fm.fairseq_export import export_fairseq
    from ecg_assets.models.ecg_fm.fairseq_import import import_fairseq
    from ecg_assets.models.ecg_fm.model import EcgFm, EcgFmForClassification
    from ecg_assets.models.ecg_founder.file import import_ecg_founder
    from ecg_assets.models.ecg_founder.net1d import EcgFounder
    from ecg_assets.models.ecg_lfm.file import import_ecg_lfm
    from ecg_assets.models.ecg_lfm.model import EcgLfm, EcgLfmForClassification
    from ecg_assets.models.imported import import_checkpoint
    from ecg_assets.models.load import imported_folder, load_checkpoint
    from ecg_assets.models.onnx_export import export_onnx
    from ecg_assets.models.scoring import predict_recording

__all__ = [
    "CheckpointCard",
    "EcgFm",
    "EcgFmForClassification",
    "EcgFounder",
    "EcgLfm",
    "EcgLfmForClassification",
    "Predictions",
    "export_fairseq",
    "export_onnx",
    "import_checkpoint",
    "import_ecg_founder",
    "import_ecg_lfm",
    "import_fairseq",
    "imported_folder",
    "load_checkpoint",
    "load_trained",
    "predict_recording",
    "read_card",
    "read_validation_predictions",
]

_NEEDS_TORCH = {
    "EcgFm": "ecg_fm.model",
    "EcgFmForClassification": "ecg_fm.model",
    "EcgFounder": "ecg_founder.net1d",
    "EcgLfm": "ecg_lfm.model",
    "EcgLfmForClassification": "ecg_lfm.model",
    "export_fairseq": "ecg_fm.fairseq_export",
    "export_onnx": "onnx_export",
    "import_checkpoint": "imported",
    "import_ecg_founder": "ecg_founder.file",
    "import_ecg_lfm": "ecg_lfm.file",
    "import_fairseq": "ecg_fm.fairseq_import",
    "imported_folder": "load",
    "load_checkpoint": "load",
    "load_trained": "checkpoint",
    "predict_recording": "scoring",
}


def __getattr__(name: str) -> object:
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NEEDS_TORCH[name]}"), name)

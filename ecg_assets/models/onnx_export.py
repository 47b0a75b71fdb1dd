"""A checkpoint as an ONNX file, for programs without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecg_assets.errors import CheckpointError, SettingsError
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint import TrainedModel, load_trained
from ecg_assets.models.checkpoint_folder import WEIGHTS
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.probabilities import is_exclusive, to_probabilities
from ecg_assets.models.scoring import score_segments
from ecg_assets.storage import replace_file

INPUT, OUTPUT = "signal", "probability"
"""Names of the graph's only input and output."""
_TOLERANCE = 1e-4
_N_CHECKED = 3
"""Segments that the written file is tried on: another number than it was traced with."""


class _Probabilities(nn.Module):
    """Segments ``[batch, channel, sample]`` to probabilities ``[batch, label]``."""

    def __init__(self, model: EcgClassifier) -> None:
        super().__init__()
        self.model = model
        self.exclusive = is_exclusive(model.config)

    def forward(self, signal: Tensor) -> Tensor:
        logits = self.model.classify(self.model.features(signal))
        return logits.softmax(dim=-1) if self.exclusive else logits.sigmoid()


def export_onnx(folder: str | Path, path: str | Path) -> None:
    """Write a checkpoint folder's model as an ONNX file, and compare the two.

    The input ``signal`` is float32 ``(batch, channel, sample)``: segments that are filtered,
    normalized and cut as the signal spec says, of just its length. The output ``probability`` is
    float32 ``(batch, label)``, from 0 to 1 (a sigmoid each, or a softmax over labels that
    exclude one another), of segments: a recording's is their aggregate. The file's
    ``metadata_props`` hold ``signal_spec``, ``label_vocabulary``, ``output`` (``sigmoid`` or
    ``softmax``), ``model_type`` and the fingerprint of the ``weights``.

    Raises
    ------
    CheckpointError
        When the folder cannot be loaded, or the file's outputs are not the model's.
    SettingsError
        When onnx, onnxscript or onnxruntime is not installed, or the model predicts numbers.
    """
    _require_packages()
    trained = load_trained(folder)
    if trained.vocabulary.is_continuous:
        raise SettingsError(
            f"Checkpoint {folder} predicts numbers; model.onnx is written of probabilities alone."
        )
    module = _Probabilities(trained.model).eval()
    n_channels, n_samples = trained.model.config.n_channels, trained.spec.segment_samples
    with torch.inference_mode(False), torch.no_grad():
        program: Any = torch.onnx.export(
            module,
            (torch.zeros(2, n_channels, n_samples),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            # The exporter by tracing gets Net1D's padding of odd lengths wrong.
            dynamo=True,
            verbose=False,
        )
    _forget_sources(program.model)
    program.model.metadata_props.update(_metadata(trained, Path(folder)))
    with replace_file(Path(path)) as temporary:
        program.save(temporary, external_data=False)
        _require_same_outputs(trained, temporary)


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"Export to ONNX needs the packages onnx, onnxscript and onnxruntime; {error.name} is "
            "not installed. Install them (pip install 'ecg-assets[onnx]')."
        ) from error


def _metadata(trained: TrainedModel, folder: Path) -> dict[str, str]:
    config = trained.model.config
    return {
        "signal_spec": json.dumps(trained.spec.to_json()),
        "label_vocabulary": json.dumps(trained.vocabulary.to_json(), ensure_ascii=False),
        "output": "softmax" if is_exclusive(config) else "sigmoid",
        "model_type": config.model_type,
        "weights": fingerprint_file(folder / WEIGHTS),
    }


def _forget_sources(model: Any) -> None:
    """Remove what the exporter notes of each node: lines of code, with this machine's paths."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def _require_same_outputs(trained: TrainedModel, path: Path) -> None:
    shape = (_N_CHECKED, trained.model.config.n_channels, trained.spec.segment_samples)
    signal = np.random.default_rng(0).standard_normal(shape, np.float32)
    logits = score_segments(trained, [signal], device="cpu")
    expected = to_probabilities(logits, exclusive=is_exclusive(trained.model.config))
    difference = float(np.abs(run_onnx(path, signal) - expected).max())
    if not difference <= _TOLERANCE:
        raise CheckpointError(
            f"The ONNX file's probabilities differ from the model's by {difference:.2g}, more than "
            f"{_TOLERANCE}; it was not kept. Try another release of torch or onnxruntime, and use "
            "the checkpoint folder until then."
        )


def run_onnx(path: str | Path, signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the probabilities ``(batch, label)`` of segments by onnxruntime, on the CPU.

    Parameters
    ----------
    path
        A file of `export_onnx`.
    signal
        float32 ``(batch, channel, sample)``.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run([OUTPUT], {INPUT: signal})
    return found[0]

"""Training steps of ECG-FM: the reference's recipe against ours; same weights, batches, optimizer.

The reference: float32, a .mat file a sample, six worker processes, attention as plain matrix
products, Lead I in all 12 channels. Ours: bf16, SDPA, stored integers on the device, one channel,
torch.compile; and the same in float32. Without a GPU it is a small model in few steps, whose speed
says nothing of the large one's.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.loading import (
    SPEC,
    forget_peak,
    mat_loader,
    memory_mib,
    prepare,
    training_data,
)
from ecg_assets.finetune.segments import Batch, SegmentDataset, keep_batch
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.models.device import autocast, choose_device
from ecg_assets.models.ecg_fm.config import EcgFmConfig, ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.fold import fold_lead_one

WARM_UP = 10
"""Steps before the clock starts; torch.compile compiles in the first ones."""


@dataclass(frozen=True)
class Plan:
    """Size of the comparison."""

    size: str
    n_records: int
    batch_size: int
    n_steps: int
    n_workers: int
    learning_rate: float
    matrix: int


ON_GPU = Plan("base", 2_000, 128, 300, 6, 5e-5, 8192)
# A tiny model learns nothing at the published rate.
ON_CPU = Plan("tiny", 200, 32, 60, 2, 1e-3, 1024)


@dataclass(frozen=True)
class Case:
    """One way to train."""

    name: str
    precision: str
    compiles: bool
    model: EcgFmForClassification
    batches: Callable[[], Iterator[Batch]]


@dataclass(frozen=True)
class Measured:
    """What training gave: losses by step, and after the warm-up seconds and memory."""

    losses: list[float]
    seconds: float
    peak_mib: float


def main() -> None:
    """Print speed, utilization, memory and loss of both."""
    device = choose_device("auto")
    plan = ON_GPU if device.type == "cuda" else ON_CPU
    if device.type != "cuda":
        torch.set_num_threads(1)
        print(f"No GPU: size {plan.size!r}, {plan.n_steps} steps, without torch.compile.")
        print("Seconds are of the training process's CPU; the reference's workers come on top.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, plan.n_records)
        data = _with_labels(training_data(folder))
        cases = _cases(plan, folder, data, device)
        measured = {case.name: _train(case, plan, device) for case in cases}
    _print(plan, measured, cases[0].model.config, _fastest_matmul(plan.matrix, device))


def _with_labels(data: TrainingData) -> TrainingData:
    """Give records labels that can be learnt: those made from one original are alike."""
    n_records, n_labels = data.manifest.targets.shape
    labels = np.random.default_rng(0).integers(0, 2, (50, n_labels))
    data.manifest.targets[:] = labels[np.arange(n_records) % len(labels)]
    return data


def _cases(plan: Plan, folder: Path, data: TrainingData, device: torch.device) -> list[Case]:
    n_items = 2 * plan.n_records
    generator = np.random.default_rng(0)
    order = generator.integers(n_items, size=(plan.n_steps, plan.batch_size)).tolist()
    files = MatFiles(folder, data)
    resident = SegmentDataset(data, np.arange(plan.n_records), 1, device)

    def from_files() -> Iterator[Batch]:
        loader: DataLoader[Batch] = DataLoader(
            files,
            batch_sampler=order,
            collate_fn=keep_batch,
            num_workers=plan.n_workers,
            pin_memory=device.type == "cuda",
        )
        return iter(loader)

    def from_device() -> Iterator[Batch]:
        return (resident.__getitems__(items) for items in order)

    has_gpu = device.type == "cuda"
    return [
        Case("reference", "fp32", False, _model(plan, "eager"), from_files),
        *(
            Case(name, precision, has_gpu, fold_lead_one(_model(plan, "sdpa")), from_device)
            for name, precision in (("ours in fp32", "fp32"), ("ours", "bf16"))
        ),
    ]


class MatFiles(Dataset[Batch]):
    """Segments as the reference reads them, a .mat file each."""

    def __init__(self, folder: Path, data: TrainingData) -> None:
        self._folder = folder
        self._targets = torch.from_numpy(data.manifest.targets).float()
        self._pos_weight = torch.from_numpy(data.manifest.pos_weight).float()

    def __getitems__(self, items: list[int]) -> Batch:
        """Read a batch."""
        return {
            "input_values": mat_loader(self._folder)(items).float(),
            "labels": self._targets[[item // 2 for item in items]],
            "pos_weight": self._pos_weight,
        }


def _model(plan: Plan, attention: str) -> EcgFmForClassification:
    """Build the same random model each time."""
    torch.manual_seed(0)
    config = ecg_fm_config(plan.size, n_channels=12, n_labels=17)
    config._attn_implementation = attention
    model = EcgFmForClassification(config)
    model.freeze_convolutions()
    return model


def _train(case: Case, plan: Plan, device: torch.device) -> Measured:
    model = case.model.to(device).train()
    step = torch.compile(model) if case.compiles else model
    trained = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(
        trained, lr=plan.learning_rate, betas=(0.9, 0.98), eps=1e-8, weight_decay=0
    )
    losses = []
    start_memory = _memory_before(device)
    started = _now(device)
    for number, batch in enumerate(case.batches()):
        if number == WARM_UP:
            started = _now(device)
        moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        with autocast(device, case.precision):
            loss: Tensor = step(**moved).loss
        torch.autograd.backward(loss)
        adam.step()
        adam.zero_grad()
        losses.append(loss.detach())
    seconds = _now(device) - started
    return Measured(torch.stack(losses).tolist(), seconds, _peak(device) - start_memory)


def _now(device: torch.device) -> float:
    """Read the clock when a GPU is done; without one, CPU time: cores may be shared."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def _memory_before(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return 0.0
    forget_peak()
    return memory_mib("VmRSS")


def _peak(device: torch.device) -> float:
    """Memory in MiB: all of a GPU's, or what training added to this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return memory_mib("VmHWM")


def forward_flops(config: EcgFmConfig, n_samples: int) -> dict[str, float]:
    """Count the operations of a forward pass of one segment: of the convolutions, and the rest.

    A multiplication and an addition are two operations; norms and activations do not count.
    """
    n_tokens, n_inputs, convolutions = n_samples, config.n_channels, 0
    layers = zip(config.conv_dim, config.conv_kernel, config.conv_stride, strict=True)
    for width, kernel, stride in layers:
        n_tokens = (n_tokens - kernel) // stride + 1
        convolutions += 2 * n_tokens * kernel * n_inputs * width
        n_inputs = width
    hidden, inner = config.hidden_size, config.intermediate_size
    per_group = hidden // config.num_conv_pos_embedding_groups
    positions = 2 * n_tokens * hidden * per_group * config.num_conv_pos_embeddings
    linear = 2 * n_tokens * (4 * hidden**2 + 2 * hidden * inner)
    attention = 4 * n_tokens**2 * hidden
    rest = positions + 2 * n_tokens * n_inputs * hidden
    rest += config.num_hidden_layers * (linear + attention)
    return {"convolutions": float(convolutions), "rest": float(rest)}


def _fastest_matmul(n: int, device: torch.device) -> float:
    """Measure the operations a second of a bf16 matrix product: what training can come to."""
    left = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    seconds = []
    for _ in range(20):
        started = _now(device)
        left @ left
        seconds.append(_now(device) - started)
    return 2 * n**3 / min(seconds)


def _print(plan: Plan, measured: dict[str, Measured], config: EcgFmConfig, fastest: float) -> None:
    flops = forward_flops(config, SPEC.segment_samples)
    # Frozen convolutions have no backward pass; everything else costs twice its forward pass.
    per_sample = flops["convolutions"] + 3 * flops["rest"]
    print(f"fastest bf16 matrix product here: {fastest / 1e12:.2f} TFLOP/s")
    rates = {}
    for name, found in measured.items():
        rates[name] = plan.batch_size * (plan.n_steps - WARM_UP) / found.seconds
        print(
            f"{name:>12}: {rates[name]:9,.0f} samples a second, "
            f"{rates[name] * per_sample / fastest:6.1%} of that product's speed, "
            f"{found.peak_mib:,.0f} MiB"
        )
    for name in ("ours in fp32", "ours"):
        print(f"{name}: {rates[name] / rates['reference']:.2f} × the reference")
    width = plan.n_steps // 6
    for start in range(0, plan.n_steps, width):
        means = (
            f"{name} {np.mean(found.losses[start : start + width]):.4f}"
            for name, found in measured.items()
        )
        print(f"mean loss of steps {start + 1:3}–{start + width:3}: {', '.join(means)}")


if __name__ == "__main__":
    main()

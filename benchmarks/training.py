r"""Training of each family: the reference's recipe against ours, bare and through the asset.

    python benchmarks/training.py --size base --batch 128 --steps 90 --device cuda \
        --parts recipes asset prediction --profile

The reference: float32, a .mat file a sample, worker processes, attention as plain matrix products,
the positional convolution as torch has it, AdamW without fusing, Lead I in all 12 channels. Ours:
bf16 and torch.compile on a GPU, SDPA, the convolution by FFT, fused AdamW, stored integers on the
device, one channel. Then the same by the Trainer as the asset calls it; prediction and embeddings
of recordings; pre-training; and the other families on random signals.

Utilization is the model's operations (of the reference's form, whatever form is computed) a second,
as a share of a matrix product's of the same precision, measured in the same run. Without a GPU it
is a small model in few steps unless told otherwise, whose speed says nothing of the large one's;
seconds are then of this process's CPU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from transformers import TrainerCallback

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.loading import (
    SPEC,
    forget_peak,
    mat_loader,
    memory_mib,
    prepare,
    training_data,
)
from benchmarks.timing import now
from ecg_assets.models.apply import apply_to_shards
from ecg_assets.models.checkpoint import TrainedModel, save_model
from ecg_assets.models.device import autocast, choose_device
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.fold import fold_lead_one
from ecg_assets.models.scoring import predict_records, run_model
from ecg_assets.preprocess import STANDARD_LEADS, ShardDataset, SignalSpec
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import Batch, SegmentDataset, keep_batch
from ecg_assets.training.engine.trainer_arguments import deterministic
from ecg_assets.training.engine.training import Progress, checkpoint_activations, train_epochs
from ecg_assets.training.finetune.finetune import FinetuneTraining
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.pretrain.pairs import PairDataset, find_pairs
from ecg_assets.training.pretrain.presets import PRESETS, find_pretraining_preset
from ecg_assets.training.pretrain.pretrain import pretraining_class

PARTS = ("recipes", "asset", "prediction", "pretraining", "families")
N_LABELS = 17


@dataclass(frozen=True)
class Plan:
    """Size of the comparison.

    Attributes
    ----------
    n_workers
        Processes that read the reference's files.
    parts, families
        What is measured.
    profiles
        Whether the slowest kernels are printed.
    """

    size: str
    batch_size: int
    n_steps: int
    device: torch.device
    n_records: int = 200
    n_workers: int = 2
    parts: tuple[str, ...] = PARTS
    families: tuple[str, ...] = tuple(FAMILIES)
    profiles: bool = False

    @property
    def has_gpu(self) -> bool:
        """Whether it runs on a GPU."""
        return self.device.type == "cuda"

    @property
    def precision(self) -> str:
        """The fastest one: on a CPU, casting costs more than small matrices gain."""
        return "bf16" if self.has_gpu else "fp32"

    @property
    def warm_up(self) -> int:
        """Steps before the clock starts: torch.compile compiles in the first ones."""
        return min(10, self.n_steps // 3)

    @property
    def learning_rate(self) -> float:
        """The published one; a tiny model learns nothing at it."""
        return 1e-3 if self.size == "tiny" else 5e-5


def main() -> None:
    """Print speed, utilization, memory and loss."""
    run(_read_plan(sys.argv[1:]))


def _read_plan(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--size", help="tiny or base; base on a GPU")
    parser.add_argument("--batch", type=int, help="segments in a step")
    parser.add_argument("--steps", type=int, help="steps of each measurement, with its warm-up")
    parser.add_argument("--records", type=int, help="synthetic or real recordings to train on")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--families", nargs="+", choices=tuple(FAMILIES), default=tuple(FAMILIES))
    parser.add_argument(
        "--profile", action="store_true", help="print the kernels that take longest"
    )
    given = parser.parse_args(arguments)
    device = choose_device(given.device)
    size = given.size or ("base" if device.type == "cuda" else "tiny")
    is_large = device.type == "cuda"
    return Plan(
        size,
        given.batch or (128 if is_large else 32),
        given.steps or (300 if is_large else 60),
        device,
        n_records=given.records or (1_000 if is_large else 200),
        n_workers=6 if is_large else 2,
        parts=tuple(given.parts),
        families=tuple(given.families),
        profiles=given.profile,
    )


def run(plan: Plan) -> None:
    """Measure a plan's parts, each of which prints what it found."""
    if not plan.has_gpu:
        torch.set_num_threads(1)
    print(f"{plan.size}, {plan.n_steps} steps of {plan.batch_size} on {plan.device}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, plan.n_records)
        data = _with_labels(training_data(folder))
        for part in plan.parts:
            {
                "recipes": compare_recipes,
                "asset": train_by_asset,
                "prediction": predict,
                "pretraining": pretrain,
                "families": lambda plan, *_: train_families(plan),
            }[part](plan, folder, data)


def _with_labels(data: TrainingData) -> TrainingData:
    """Give records labels that can be learnt, those made from one original alike; split them."""
    n_records, n_labels = data.manifest.targets.shape
    labels = np.random.default_rng(0).integers(0, 2, (50, n_labels))
    data.manifest.targets[:] = labels[np.arange(n_records) % len(labels)]
    is_valid = np.arange(n_records) >= 0.9 * n_records
    data.manifest.index["split"] = np.where(is_valid, "valid", "train")
    return data


# One measurement.


@dataclass(frozen=True)
class Measured:
    """What some steps gave: losses, and after the warm-up samples a second and memory."""

    losses: list[float]
    rate: float
    peak_mib: float


def train_steps(
    plan: Plan,
    model: Any,
    batches: Iterable[Batch],
    *,
    precision: str,
    is_reference: bool = False,
    compiles: bool = False,
) -> Measured:
    """Train a model on batches, which are as many as the plan's steps."""
    device, losses = plan.device, []
    model = model.to(device).train()
    step = torch.compile(model) if compiles else model
    trained = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(
        trained,
        lr=plan.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=0,
        fused=plan.has_gpu and not is_reference,
    )
    before = _memory_before(device)
    torch.manual_seed(0)  # the same dropout, whatever was drawn before
    started, n_samples = now(device.type), 0
    for number, batch in enumerate(batches):
        if number == plan.warm_up:
            started, n_samples = now(device.type), 0
        moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        with autocast(device, precision):
            loss: Tensor = step(**moved).loss
        torch.autograd.backward(loss)
        adam.step()
        adam.zero_grad()
        losses.append(loss.detach())
        n_samples += len(moved["input_values"])
    rate = n_samples / (now(device.type) - started)
    return Measured(torch.stack(losses).tolist(), rate, _peak(device) - before)


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


@cache
def fastest_matmul(precision: str, device: torch.device) -> float:
    """Measure the operations a second of a large matrix product: what training can come to."""
    n = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left = torch.randn(n, n, device=device, dtype=dtype)
    seconds = []
    for _ in range(20):
        started = now(device.type)
        left @ left
        seconds.append(now(device.type) - started)
    return 2 * n**3 / min(seconds)


def count_operations(model: Any, n_samples: int, *, trains: bool) -> float:
    """Count the operations of one segment, as torch does; a multiply-add is two.

    Parameters
    ----------
    model
        On the device ``meta``, with eager attention, which torch counts, and with the weights
        frozen that are not trained.
    n_samples
        Of the segment.
    trains
        Whether the backward pass counts, too.
    """
    # Two, since batch norms in training take no single one.
    signal = torch.empty(2, model.config.n_channels, n_samples, device="meta")
    with FlopCounterMode(display=False) as counter, nullcontext() if trains else torch.no_grad():
        logits = model(signal).logits
        if trains:
            torch.autograd.backward(logits.sum())
    return float(counter.get_total_flops()) / 2


def build_model(plan: Plan, family: str, *, is_reference: bool, n_channels: int = 12) -> Any:
    """Build the same random model each time; convolutions before a transformer are frozen."""
    torch.manual_seed(0)
    known = FAMILIES[family]
    # Where a family has no size of this name: the smallest that is published.
    others = [size for size in known.sizes if size != "tiny"]
    size = plan.size if plan.size in known.sizes else others[0]
    config = known.build_config(size, n_channels=n_channels, n_labels=N_LABELS)
    if known.has_attention:
        config._attn_implementation = "eager" if is_reference else "sdpa"
        config.positional_convolution = "direct" if is_reference else "auto"
    model = known.classifier_class(config)
    if known.has_convolution_stack:
        model.freeze_convolutions()
    return model


@cache
def _operations(plan: Plan, family: str, n_samples: int, trains: bool) -> float:
    with torch.device("meta"):
        channels = FAMILIES[family].signal_spec(STANDARD_LEADS).n_channels
        model = build_model(plan, family, is_reference=True, n_channels=channels).train()
    return count_operations(model, n_samples, trains=trains)


def _print_speed(
    plan: Plan,
    name: str,
    rate: float,
    precision: str,
    *,
    family: str = "ecg_fm",
    n_samples: int = SPEC.segment_samples,
    trains: bool = True,
    memory: float | None = None,
) -> None:
    done = rate * _operations(plan, family, n_samples, trains)
    share = done / fastest_matmul(precision, plan.device)
    of_memory = "" if memory is None else f", {memory:,.0f} MiB"
    speed = f"{rate:9,.1f} samples a second, {share:6.1%} of a {precision} product"
    print(f"{name:>34}: {speed}{of_memory}")


# The reference's recipe and ours.


def compare_recipes(plan: Plan, folder: Path, data: TrainingData) -> None:
    """Train by each recipe on the same batches in the same order; print ratios and losses."""
    order = _orders(plan, 2 * plan.n_records)
    resident = SegmentDataset(data, np.arange(plan.n_records), 1, plan.device)
    measured = {
        "reference": train_steps(
            plan,
            build_model(plan, "ecg_fm", is_reference=True),
            _from_files(plan, folder, data, order),
            precision="fp32",
            is_reference=True,
        )
    }
    for precision in dict.fromkeys(("fp32", plan.precision)):
        model = fold_lead_one(build_model(plan, "ecg_fm", is_reference=False))
        batches = (resident.__getitems__(items) for items in order)
        name = f"ours in {precision}"
        measured[name] = train_steps(
            plan,
            model,
            batches,
            precision=precision,
            compiles=plan.has_gpu and precision == plan.precision,
        )
    for name, found in measured.items():
        precision = name.removeprefix("ours in ") if name != "reference" else "fp32"
        _print_speed(plan, name, found.rate, precision, memory=found.peak_mib)
        print(f"{'':>34}  {found.rate / measured['reference'].rate:.2f} × the reference")
    _print_losses(plan, measured)
    if plan.profiles:
        _profile(plan, resident)


def _orders(plan: Plan, n_items: int) -> list[list[int]]:
    generator = np.random.default_rng(0)
    found = generator.integers(n_items, size=(plan.n_steps, plan.batch_size))
    order: list[list[int]] = found.tolist()
    return order


def _from_files(
    plan: Plan, folder: Path, data: TrainingData, order: list[list[int]]
) -> Iterator[Batch]:
    loader: DataLoader[Batch] = DataLoader(
        MatFiles(folder, data),
        batch_sampler=order,
        collate_fn=keep_batch,
        num_workers=plan.n_workers,
        pin_memory=plan.has_gpu,
    )
    return iter(loader)


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


def _print_losses(plan: Plan, measured: dict[str, Measured]) -> None:
    width = max(1, plan.n_steps // 6)
    for start in range(0, plan.n_steps, width):
        means = (
            f"{name} {np.mean(found.losses[start : start + width]):.4f}"
            for name, found in measured.items()
        )
        print(f"mean loss of steps {start + 1:3}–{start + width:3}: {', '.join(means)}")
    reference = np.array(measured["reference"].losses)
    for name, found in measured.items():
        if name != "reference":
            largest = np.abs(np.array(found.losses) - reference).max()
            print(
                f"largest difference of a step's loss from the reference's, {name}: {largest:.1e}"
            )


def _profile(plan: Plan, segments: SegmentDataset) -> None:
    """Print the kernels of our steps that take longest."""
    from torch.profiler import ProfilerActivity, profile

    kind = ProfilerActivity.CUDA if plan.has_gpu else ProfilerActivity.CPU
    model = fold_lead_one(build_model(plan, "ecg_fm", is_reference=False))
    few = replace(plan, n_steps=6)
    batches = (segments.__getitems__(items) for items in _orders(few, len(segments)))
    with profile(activities=[kind]) as found:
        train_steps(few, model, batches, precision=plan.precision, compiles=plan.has_gpu)
    key = f"self_{plan.device.type}_time_total"
    print(found.key_averages().table(sort_by=key, row_limit=20, max_name_column_width=70))


# Through the asset.


class EpochClock(TrainerCallback):  # type: ignore[misc]
    """The time of each epoch's steps, without the validation and the checkpoint after them."""

    def __init__(self, device: str) -> None:
        self._device, self.begun, self.ended = device, list[float](), list[float]()

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self.begun.append(now(self._device))

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """Stop it."""
        self.ended.append(now(self._device))


def train_by_asset(plan: Plan, folder: Path, data: TrainingData) -> None:
    """Train with the Trainer as the asset does; the first epoch is warm-up."""
    n_segments = int(data.n_segments(data.rows("train")).sum())
    epochs = 1 + max(1, -(-plan.n_steps * plan.batch_size // n_segments))
    request = _request(plan, folder, epochs)
    training = FinetuneTraining(request, data)
    clock = EpochClock(plan.device.type)
    with deterministic(request.device):
        trainer = training.build_trainer(
            training.build_model(), folder / "work", Progress(request.recipe, lambda _: None)
        )
        trainer.add_callback(clock)
        started = now(plan.device.type)
        train_epochs(trainer, request.recipe, folder / "work")
    steps = [end - begin for begin, end in zip(clock.begun, clock.ended, strict=True)]
    rate = n_segments * (epochs - 1) / sum(steps[1:])
    _print_speed(plan, "ours through the Trainer", rate, plan.precision)
    all_of_it = now(plan.device.type) - started
    print(
        f"{'':>34}  {epochs} epochs of {n_segments} with validation and checkpoints in "
        f"{all_of_it:.1f} s, the first one's steps in {steps[0]:.1f} s"
    )


def _request(plan: Plan, folder: Path, epochs: int) -> FinetuneRequest:
    start = folder / "pretrained"
    start.mkdir()
    model = build_model(plan, "ecg_fm", is_reference=False)
    save_model(start, model, SPEC, None)
    return FinetuneRequest.from_preset(
        "ecg-fm-lead-i",
        inputs={"manifests": "of the benchmark"},
        pretrained=start,
        manifest_folder=folder,
        shard_folder=folder,
        cache_folder=folder / "cache",
        output_folder=folder / "checkpoints",
        size=plan.size,
        epochs=epochs,
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate,
        device=str(plan.device),
        precision=plan.precision,
    )


# Prediction and embeddings.


def predict(plan: Plan, folder: Path, data: TrainingData) -> None:
    """Score and embed all recordings by what the assets call, beside the forward pass alone."""
    model = fold_lead_one(build_model(plan, "ecg_fm", is_reference=False)).to(plan.device).eval()
    trained = TrainedModel(model, SPEC, data.manifest.vocabulary)
    rows = np.arange(plan.n_records)
    n_segments = int(data.n_segments(rows).sum())
    options: dict[str, Any] = {"device": str(plan.device), "precision": plan.precision}
    batch = data.signals.segments(rows[: plan.batch_size], SPEC)[0][: plan.batch_size]
    n_batches = -(-n_segments // len(batch))
    forward = partial(run_model, trained, batch, device=plan.device, precision=plan.precision)
    shards = ShardDataset({"p1000": folder / "p1000.parquet"})
    cases: dict[str, tuple[Callable[[], object], int]] = {
        "forward pass": (lambda: [forward() for _ in range(n_batches)], n_batches * len(batch)),
        "evaluation": (
            lambda: predict_records(trained, data.manifest, data.signals, rows, **options),
            n_segments,
        ),
        "embedding": (lambda: list(apply_to_shards(trained, shards, **options)), n_segments),
    }
    forward()
    for name, (case, n_done) in cases.items():
        started = now(plan.device.type)
        case()
        rate = n_done / (now(plan.device.type) - started)
        _print_speed(plan, name, rate, plan.precision, trains=False)


# Pre-training.


def pretrain(plan: Plan, folder: Path, data: TrainingData) -> None:
    """Pre-train ECG-FM on pairs of 12 channels, read before, in the reference's form and ours."""
    preset = find_pretraining_preset("ecg_fm", plan.size)
    if preset is None:
        print(f"no preset pre-trains size {plan.size}")
        return
    recipe = PRESETS[preset]
    pairs = find_pairs(data, "train", recipe.pairs)
    rates = {}
    for name, precision in {"reference": "fp32", "ours": plan.precision}.items():
        torch.manual_seed(0)
        config = FAMILIES["ecg_fm"].build_config(plan.size, n_channels=12, n_labels=1)
        config._attn_implementation = "eager" if name == "reference" else "sdpa"
        config.positional_convolution = "direct" if name == "reference" else "auto"
        model = pretraining_class(recipe).build(config, recipe.objective)
        n_tokens = model.count_tokens(SPEC.segment_samples)
        dataset = PairDataset(
            data, pairs, n_channels=12, n_tokens=n_tokens, objective=recipe.objective, seed=0
        )
        few = replace(plan, batch_size=max(2, plan.batch_size // 2))
        batches = [dataset.__getitems__(items) for items in _orders(few, len(pairs))]
        found = train_steps(
            few, model, batches, precision=precision, is_reference=name == "reference"
        )
        rates[name] = found.rate / 2
        print(f"{'pre-training, ' + name:>34}: {rates[name]:9,.1f} pairs a second")
    print(f"{'':>34}  {rates['ours'] / rates['reference']:.2f} × the reference")


# The other families, on random signals of the leads that each reads.


def train_families(plan: Plan) -> None:
    """Train each by the reference's settings, ours, and with activations computed again."""
    for name in plan.families:
        family = FAMILIES[name]
        spec = family.signal_spec(STANDARD_LEADS)
        n_samples = spec.segment_samples
        few = replace(plan, n_steps=min(plan.n_steps, 20))
        ways = ["reference", "ours", *(["ours, recomputing"] if family.can_recompute else [])]
        rates: dict[str, float] = {}
        for way in ways:
            model = build_model(
                plan, name, is_reference=way == "reference", n_channels=spec.n_channels
            )
            if way.endswith("recomputing"):
                checkpoint_activations(model)
            precision = "fp32" if way == "reference" else plan.precision
            found = train_steps(
                few,
                model,
                _random_batches(few, spec),
                precision=precision,
                is_reference=way == "reference",
                compiles=plan.has_gpu and way == "ours",
            )
            rates[way] = found.rate
            title = f"{family.title}, {way}"
            _print_speed(
                plan, title, found.rate, precision,
                family=name, n_samples=n_samples,
                # Of a process that has trained before, nothing can be told.
                memory=found.peak_mib if plan.has_gpu else None,
            )  # fmt: skip
        print(f"{'':>34}  {rates['ours'] / rates['reference']:.2f} × the reference")


def _random_batches(plan: Plan, spec: SignalSpec) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(0)
    shape = (plan.batch_size, spec.n_channels, spec.segment_samples)
    signals = torch.randn(shape, generator=generator)
    labels = torch.randint(2, (plan.batch_size, N_LABELS), generator=generator)
    batch = {"input_values": signals, "labels": labels, "pos_weight": torch.ones(N_LABELS)}
    on_device = {name: value.to(plan.device) for name, value in batch.items()}
    return (on_device for _ in range(plan.n_steps))


if __name__ == "__main__":
    main()

"""The positional convolution of ECG-FM: ways to compute it against torch's own, and their error.

Published size: 768 features in 16 groups, 128 taps. With a GPU it is measured there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run as a script, too

from benchmarks.timing import median_seconds
from ecg_assets.models.device import choose_device
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmEncoder
from ecg_assets.models.ecg_fm.positions import FORMS, convolve_tokens, fft_length

WIDTH, GROUPS, TAPS = 768, 16, 128
Form = Callable[[Tensor, Tensor], Tensor]


def direct(tokens: Tensor, weight: Tensor) -> Tensor:
    """Convolve by torch."""
    found = functional.conv1d(tokens.mT, weight, padding=TAPS // 2, groups=GROUPS)
    return found[..., :-1].mT


def by_fft(tokens: Tensor, weight: Tensor) -> Tensor:
    """Convolve as the model does."""
    found: Tensor = convolve_tokens(tokens, weight, GROUPS)[0]
    return found


def by_autograd(tokens: Tensor, weight: Tensor) -> Tensor:
    """Convolve by FFT over n tokens + taps - 1 points, and leave the gradients to torch."""
    (n_signals, n_tokens, _), n_in = tokens.shape, WIDTH // GROUPS
    length = fft_length(n_tokens + TAPS // 2, TAPS)
    signal = torch.fft.rfft(tokens.mT, length).view(n_signals, GROUPS, n_in, -1)
    kernel = torch.fft.rfft(weight.flip(-1), length).view(GROUPS, n_in, n_in, -1)
    product = signal.permute(3, 1, 0, 2) @ kernel.permute(3, 0, 2, 1)
    by_signal = product.permute(2, 1, 3, 0).reshape(n_signals, WIDTH, -1)
    found: Tensor = torch.fft.irfft(by_signal, length)
    return found[..., TAPS // 2 - 1 :][..., :n_tokens].mT


def by_windows(tokens: Tensor, weight: Tensor) -> Tensor:
    """Multiply each token's window of all taps with the weights, a matrix product a group."""
    n_signals, n_tokens, _ = tokens.shape
    around = functional.pad(tokens, (0, 0, TAPS // 2, TAPS // 2 - 1))
    n_in = WIDTH // GROUPS
    windows = around.view(n_signals, -1, GROUPS, n_in).permute(2, 0, 1, 3).unfold(2, TAPS, 1)
    flat = windows.reshape(GROUPS, n_signals * n_tokens, -1)
    found = torch.bmm(flat, weight.reshape(GROUPS, WIDTH // GROUPS, -1).mT)
    by_token = found.view(GROUPS, n_signals, n_tokens, -1).permute(1, 2, 0, 3)
    return by_token.flatten(2)


CANDIDATES: dict[str, Form] = {
    "direct": direct,
    "by FFT (the model's)": by_fft,
    "by FFT, torch's gradients": by_autograd,
    "windows": by_windows,
}
_MOST_WINDOWS = 16
"""Signals from which on windows would take gigabytes."""


def main() -> None:
    """Print speed and error of each candidate, and of the module in training and evaluation."""
    device = choose_device("auto")
    if device.type == "cuda":
        plans = [(1, 128, 156), (1, 128, 312)]
    else:
        plans = [(1, 1, 156), (1, 4, 156), (1, 16, 156), (2, 16, 156), (1, 8, 312)]
    for n_threads, n_signals, n_tokens in plans:
        torch.set_num_threads(n_threads)
        where = device.type if device.type == "cuda" else f"{n_threads} CPU threads"
        print(f"{n_signals} × {n_tokens} tokens, {where}")
        compare(n_signals, n_tokens, device)


def compare(n_signals: int, n_tokens: int, device: torch.device) -> None:
    """Print the ratios of one batch."""
    torch.manual_seed(0)
    tokens = torch.randn(n_signals, n_tokens, WIDTH, device=device)
    weight = torch.randn(WIDTH, WIDTH // GROUPS, TAPS, device=device) / (TAPS * WIDTH) ** 0.5
    forms = {
        name: form
        for name, form in CANDIDATES.items()
        if name != "windows" or n_signals < _MOST_WINDOWS
    }
    expected = direct(tokens, weight)
    errors = {name: float((f(tokens, weight) - expected).abs().max()) for name, f in forms.items()}
    with torch.no_grad():
        forward = median_seconds(_calls(forms, tokens, weight), device.type)
    trained = [value.requires_grad_() for value in (tokens, weight)]
    backward = median_seconds(
        {name: partial(_step, form, *trained) for name, form in forms.items()}, device.type
    )
    for name, error in errors.items():
        print(
            f"{name:>28}: forward {_times(forward, 'direct', name)}, "
            f"with backward {_times(backward, 'direct', name)}, largest difference {error:.1e}"
        )
    modules = {form: _module(form, device) for form in FORMS}
    with torch.inference_mode():
        seconds = median_seconds(
            {form: partial(one, tokens) for form, one in modules.items()}, device.type
        )
    print(f"{'module in evaluation, auto':>28}: {_times(seconds, 'direct', 'auto')}")


def _calls(
    forms: dict[str, Form], tokens: Tensor, weight: Tensor
) -> dict[str, Callable[[], object]]:
    return {name: partial(form, tokens, weight) for name, form in forms.items()}


def _step(form: Form, tokens: Tensor, weight: Tensor) -> None:
    tokens.grad = weight.grad = None
    torch.autograd.backward(form(tokens, weight).sum())


def _module(form: str, device: torch.device) -> Callable[[Tensor], Tensor]:
    config = ecg_fm_config("base", n_channels=1, n_labels=1)
    config.num_hidden_layers, config.positional_convolution = 1, form
    encoder = EcgFmEncoder(config).to(device).eval()
    module: Callable[[Tensor], Tensor] = encoder.encoder.pos_conv_embed
    return module


def _times(seconds: dict[str, float], reference: str, ours: str) -> str:
    return f"{seconds[reference] / seconds[ours]:.2f} × ({seconds[ours] * 1e3:.1f} ms)"


if __name__ == "__main__":
    main()

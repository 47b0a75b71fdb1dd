"""S4: a structured state space as one long convolution over time (https://arxiv.org/abs/2111.00396).

A layer is a linear system of a few complex states for each feature, whose impulse response, its
kernel, is found on the unit circle: the resolvent of a diagonal matrix plus one of rank one is a
sum over states, there known as a Cauchy kernel. The names of the weights are those of the benchmark
of ECG foundation models (https://github.com/AI4HealthUOL/ecg-fm-benchmarking). Nothing here needs
other kernels than torch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ecg_assets.errors import SettingsError

STEP_S = (0.001, 0.1)
"""Smallest and largest time step of a feature when weights are random."""


def hippo_transition(
    n_states: int,
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]:
    """Diagonalize the transition of HiPPO-LegS (https://arxiv.org/abs/2008.07669).

    It is ``diag(w) - P Q*`` in a basis of its own, with Q the conjugate of P. States come in
    conjugate pairs, of which one each is given. The phase of each state depends on the machine's
    LAPACK: a checkpoint's values are read, never computed again.

    Parameters
    ----------
    n_states
        An even number.

    Returns
    -------
    tuple
        w, P and B, the input's weights: complex128 ``[n_states / 2]``.
    """
    n = np.arange(n_states)
    b = np.sqrt(2.0 * n + 1)
    p = np.sqrt(n + 0.5)
    a = -np.tril(np.outer(b, b), -1) - np.diag(n + 1.0)
    # With P P' added it is skew-symmetric but for -1/2 on its diagonal.
    skew = a + np.outer(p, p) + 0.5 * np.eye(n_states)
    imaginary, vectors = np.linalg.eigh(-1j * skew)
    kept = np.argsort(-imaginary)[: n_states // 2]
    basis = vectors[:, kept].conj().T
    return -0.5 + 1j * imaginary[kept], basis @ p, basis @ b


def unit_circle(length: int) -> tuple[Tensor, Tensor]:
    """Give the points at which a kernel of a length is found.

    Returns
    -------
    tuple
        ω, the upper half of the roots of unity, and z = 2 (1 - ω) / (1 + ω), complex64
        ``[length // 2 + 1]``. Of an even length the last ω is -1, where z is infinite: it is moved
        by 1e-7, as rounding does.
    """
    angle = torch.arange(length // 2 + 1, dtype=torch.float64) * (-2 * math.pi / length)
    omega = torch.complex(angle.cos(), angle.sin())
    at_end = torch.tensor(-1e-7j, dtype=torch.complex128)
    omega = torch.where((1 + omega).abs() < 1e-7, -1 + at_end, omega)
    z = 2 * (1 - omega) / (1 + omega)
    return omega.to(torch.complex64), z.to(torch.complex64)


def _as_complex(pairs: Tensor) -> Tensor:
    """Read ``[..., 2]`` as complex numbers ``[...]``, in single precision at least."""
    return torch.view_as_complex(pairs.float().contiguous())


class Kernel(nn.Module):
    """The kernels of one layer.

    Stored are w, P, Q, B of each feature's transition, the logarithm of its time step, C and the
    points ω and z, all complex ones as pairs. C alone is trained, as the benchmark does it; the
    original S4 trains the others too. C has been multiplied by ``I - A ** length``, so that it is
    right for kernels of just `length`: shorter ones are cut from that, for longer ones it is
    multiplied by ``I + A ** length``, which doubles the length.

    Parameters
    ----------
    size
        Features.
    n_states
        States of a feature, an even number; one each of conjugate pairs is stored.
    length
        Samples of the kernel.
    n_kernels
        1, or 2: one forwards in time, one backwards.
    """

    omega: Tensor
    z: Tensor
    log_dt: Tensor
    B: Tensor
    P: Tensor
    Q: Tensor
    w: Tensor

    def __init__(self, size: int, n_states: int, length: int, n_kernels: int) -> None:
        super().__init__()
        self.length = length
        n_pairs = n_states // 2
        omega, z = unit_circle(length)
        transition = [torch.tensor(part) for part in hippo_transition(n_states)]
        w, p, b = (part.to(torch.complex64).repeat(size, 1) for part in transition)
        low, high = map(math.log, STEP_S)
        self.C = nn.Parameter(torch.randn(n_kernels, size, n_pairs, 2) / math.sqrt(2))
        self.register_buffer("omega", torch.view_as_real(omega))
        self.register_buffer("z", torch.view_as_real(z))
        self.register_buffer("log_dt", torch.rand(size) * (high - low) + low)
        self.register_buffer("B", torch.view_as_real(b)[None])
        self.register_buffer("P", torch.view_as_real(p)[None])
        self.register_buffer("w", torch.view_as_real(w))
        self.register_buffer("Q", torch.view_as_real(p.conj().resolve_conj())[None])
        with torch.no_grad():
            c = _as_complex(self.C)
            self.C.copy_(torch.view_as_real(c - self._advance(c, length)))

    def forward(self, n_samples: int) -> Tensor:
        """Compute the first `n_samples` of the kernels, float ``[kernel, feature, sample]``."""
        c, length = _as_complex(self.C), self.length
        omega, z = _as_complex(self.omega), _as_complex(self.z)
        while length < n_samples:
            c, length = c + self._advance(c, length), 2 * length
            omega, z = (one.to(c.device) for one in unit_circle(length))
        step = self.log_dt.exp()[:, None]
        sources = torch.cat([_as_complex(self.B), _as_complex(self.P)])
        sinks = torch.cat([c, _as_complex(self.Q)])
        products = (sources[:, None] * sinks).movedim(2, 0).flatten(1, 2)  # [feature, pair, state]
        poles = (step * _as_complex(self.w))[..., None]
        # Of each state and of its conjugate: [feature, pair, point].
        sums = products @ (z - poles).reciprocal()
        sums = sums + products.conj() @ (z - poles.conj()).reciprocal()
        to_b, to_p = (sums * step[..., None]).chunk(2, dim=1)  # [feature, kernels and Q, point]
        response = to_b[:, :-1] - to_b[:, -1:] * to_p[:, :-1] / (1 + to_p[:, -1:])
        response = response * (2 / (1 + omega))
        kernels: Tensor = torch.fft.irfft(response, n=length)[..., :n_samples]
        return kernels.transpose(0, 1)

    def _advance(self, c: Tensor, n_steps: int) -> Tensor:
        """Multiply C ``[kernel, feature, state]`` by the transition of so many time steps."""
        both = [
            torch.cat([part, part.conj()], dim=-1).to(torch.complex128)
            for part in (c, _as_complex(self.w), _as_complex(self.P)[0], _as_complex(self.Q)[0])
        ]
        sinks, w, p, q = both
        a = torch.diag_embed(w) - p[:, :, None] * q[:, None, :]
        half = a * (self.log_dt.double().exp() / 2)[:, None, None]
        eye = torch.eye(w.shape[-1], dtype=half.dtype, device=half.device)
        step = torch.linalg.solve(eye - half, eye + half)  # by the trapezoidal rule
        moved = sinks.transpose(0, 1) @ torch.linalg.matrix_power(step, n_steps)
        first_halves: Tensor = moved.transpose(0, 1)[..., : c.shape[-1]]
        return first_halves.to(c.dtype)


class Convolution(nn.Module):
    """Holds the kernels under the name that the benchmark's weights have.

    Attributes
    ----------
    fixed
        The kernels as they are when the model is put into evaluation mode; None while it trains.
        An exported model has them in place of complex numbers, which ONNX does not know.
    """

    fixed: Tensor | None

    def __init__(self, size: int, n_states: int, length: int, n_kernels: int) -> None:
        super().__init__()
        self.kernel = Kernel(size, n_states, length, n_kernels)
        self.register_buffer("fixed", None, persistent=False)

    def train(self, mode: bool = True) -> Convolution:
        """Choose between training and evaluation."""
        super().train(mode)
        self.fixed = None if mode else self.kernel(self.kernel.length).detach()
        return self

    def forward(self, signal: Tensor) -> Tensor:
        """Convolve each feature of ``[batch, feature, sample]`` with its kernel over time.

        A second kernel is turned around: sample 0 of it is the weight of the next sample.
        """
        if torch.compiler.is_exporting():
            return self._convolve_directly(signal)
        n_samples = signal.shape[-1]
        kernels = self.kernel(n_samples)
        whole = functional.pad(kernels[0], (0, n_samples))
        if len(kernels) > 1:
            whole = whole + functional.pad(kernels[1].flip(-1), (n_samples, 0))
        product = torch.fft.rfft(signal, n=2 * n_samples) * torch.fft.rfft(whole)
        convolved: Tensor = torch.fft.irfft(product, n=2 * n_samples)[..., :n_samples]
        return convolved

    def _convolve_directly(self, signal: Tensor) -> Tensor:
        n_samples = signal.shape[-1]
        if self.fixed is None or n_samples > self.fixed.shape[-1]:
            raise SettingsError(
                f"An S4 model with kernels of {self.kernel.length} samples is exported in "
                f"evaluation mode and for segments as long at most; they have {n_samples}. Train "
                "one with shorter segments (ECG_SEGMENT_S)."
            )
        taps = [self.fixed[0, :, :n_samples].flip(-1)]
        if len(self.fixed) > 1:
            taps.append(self.fixed[1, :, : n_samples - 1])
        padded = functional.pad(signal, (n_samples - 1, n_samples - 1 if len(taps) > 1 else 0))
        return functional.conv1d(padded, torch.cat(taps, -1)[:, None], groups=signal.shape[1])


class Mixer(nn.Module):
    """A linear layer over features ``[batch, feature, sample]``."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in))
        self.bias = nn.Parameter(torch.zeros(n_out, 1))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``[batch, feature in, sample]`` to ``[batch, feature out, sample]``."""
        mixed: Tensor = self.weight @ signal + self.bias
        return mixed


class S4Layer(nn.Module):
    """Convolve over time, add the input weighed, activate, mix the features by a gate.

    Parameters
    ----------
    size, n_states, length, n_kernels
        As `Kernel` takes them.
    dropout
        Of whole features, after the activation and of what comes out.
    """

    def __init__(
        self, size: int, n_states: int, length: int, n_kernels: int, dropout: float
    ) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.randn(1, size))
        self.kernel = Convolution(size, n_states, length, n_kernels)
        self.dropout = nn.Dropout1d(dropout)
        self.output_linear = nn.Sequential(Mixer(size, 2 * size), nn.GLU(dim=1))

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``[batch, feature, sample]`` to the same shape."""
        # Half precision is too little for the sums of a kernel: autocast leaves them alone.
        signal = signal.float()
        hidden = self.kernel(signal) + self.D[0, :, None] * signal
        mixed = self.output_linear(self.dropout(functional.gelu(hidden)))
        dropped: Tensor = self.dropout(mixed)
        return dropped


class S4Stack(nn.Module):
    """Layers with residual connections, each followed by a norm over the features.

    Parameters
    ----------
    layers
        In their order.
    size
        Features.
    """

    def __init__(self, layers: Iterable[S4Layer], size: int) -> None:
        super().__init__()
        self.s4_layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in self.s4_layers)

    def forward(self, signal: Tensor) -> Tensor:
        """Map ``[batch, feature, sample]`` to the same shape."""
        return run_layers(self.s4_layers, self.norms, signal)


def run_layers(layers: nn.ModuleList, norms: nn.ModuleList, signal: Tensor) -> Tensor:
    """Run layers, each with its residual connection and then its norm over the features.

    `signal` and the result are ``[batch, feature, sample]``.
    """
    for layer, norm in zip(layers, norms, strict=True):
        signal = norm((signal + layer(signal)).transpose(1, 2)).transpose(1, 2)
    return signal

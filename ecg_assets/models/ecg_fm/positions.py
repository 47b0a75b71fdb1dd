"""ECG-FM's positional convolution: as fairseq-signals computes it, or the same by FFT.

A kernel of 128 taps in 16 groups costs more than all layers behind it. By the convolution theorem
it is a product of spectra, a 48 × 48 complex one for each frequency and group: 35 times fewer
operations. It is computed in float32 (or float64), whatever the precision of the rest, and differs
from the direct form by rounding alone, at most 1e-5 in outputs and gradients of order one.
"""

from __future__ import annotations

import itertools
import operator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2PositionalConvEmbedding

FORMS = ("auto", "fft", "direct")
"""Values of `EcgFmConfig.positional_convolution`."""
_LONG_KERNEL = 64
_MANY_SIGNALS = 4
"""From so many taps and signals on the FFT is faster (benchmarks/positions.py)."""


class PositionalConvolution(Wav2Vec2PositionalConvEmbedding):  # type: ignore[misc]
    """Transformers' positional convolution, in the form that `config.positional_convolution` names.

    ``direct`` is torch's convolution, bit for bit what transformers computes. ``fft`` is the same
    by FFT. ``auto`` is ``fft`` for kernels of 64 taps or more (the published sizes have 128, the
    tiny one 16) where the batch has four signals or more, or where the spectrum of the weights is
    at hand. A model that is exported or traced is ``direct`` whatever is asked for.

    The weights are a parametrization (weight normalization). In evaluation without gradients they,
    or their spectrum, are computed once and kept until the module is trained, moved or given other
    weights; a compiled graph computes them each time. What is kept is in no state dict.

    Parameters
    ----------
    built
        Transformers' module, whose weights are taken.
    config
        Read at each call: the form may be changed at any time.
    """

    def __init__(self, built: Wav2Vec2PositionalConvEmbedding, config: Any) -> None:
        nn.Module.__init__(self)
        # Its weights, and transformers' mark that they have their initial values.
        self.__dict__.update(built.__dict__)
        self.config = config
        # What it was computed from, and the value; replaced as a whole, for other threads' sake.
        self._kept: tuple[Any, Tensor] | None = None

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Map tokens ``[batch, token, feature]`` to what is added to them, of the same shape."""
        if self._uses_fft(hidden_states):
            found = self._by_fft(hidden_states)
        else:
            found = self._directly(hidden_states)
        positions: Tensor = self.activation(found)
        return positions

    def train(self, mode: bool = True) -> PositionalConvolution:
        """Set the mode, and forget what was kept of the weights."""
        self._kept = None
        super().train(mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> PositionalConvolution:
        self._kept = None
        super()._apply(fn, recurse)
        return self

    def _uses_fft(self, hidden: Tensor) -> bool:
        form = self.config.positional_convolution
        if form not in FORMS:
            raise ValueError(f"positional_convolution is {form!r}; allowed: {FORMS}.")
        is_traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if form == "direct" or torch.compiler.is_exporting() or is_traced:
            return False
        if form == "fft":
            return True
        is_long = self.conv.kernel_size[0] >= _LONG_KERNEL
        return is_long and (hidden.shape[0] >= _MANY_SIGNALS or self._keeps())

    def _keeps(self) -> bool:
        """Tell whether the weights stay as they are for more than one call."""
        is_changed = self.training or torch.is_grad_enabled() or torch.compiler.is_compiling()
        # What was made in inference mode does not tell when it is changed.
        return not is_changed and not any(w.is_inference() for w in self.conv.parameters())

    def _keep(self, length: int = 0, precision: torch.dtype | None = None) -> Tensor:
        """Give the weights, or their spectrum of a length, computed where it is not at hand."""
        weights = tuple(self.conv.parameters())
        state = (length, precision, *((w.data_ptr(), w._version) for w in weights))
        kept = self._kept
        if kept is not None and kept[0][0] == state and _are_same(kept[0][1], weights):
            return kept[1]
        with torch.inference_mode(False), torch.no_grad():
            value: Tensor = self.conv.weight
            if length:
                value = to_weight_spectrum(value.to(precision), self.conv.groups, length)
        self._kept = ((state, weights), value)
        return value

    def _directly(self, hidden: Tensor) -> Tensor:
        conv = self.conv
        if self._keeps():
            weight, padding = self._keep(), conv.padding[0]
            found = functional.conv1d(
                hidden.transpose(1, 2), weight, conv.bias, padding=padding, groups=conv.groups
            )
        else:
            found = conv(hidden.transpose(1, 2))
        cut: Tensor = self.padding(found)
        return cut.transpose(1, 2)

    def _by_fft(self, hidden: Tensor) -> Tensor:
        conv, n_tokens, n_taps = self.conv, hidden.shape[1], self.conv.kernel_size[0]
        precision = torch.promote_types(hidden.dtype, torch.float32)
        tokens = hidden.to(precision)
        if self._keeps():
            length = fft_length(n_tokens, n_taps)
            product = to_spectrum(tokens, conv.groups, length) @ self._keep(length, precision)
            found = _to_tokens(product, length, _n_before(n_taps), n_tokens)
        else:
            found = convolve_tokens(tokens, conv.weight.to(precision), conv.groups)[0]
        positions: Tensor = (found + conv.bias).to(hidden.dtype)
        return positions


def _are_same(kept: tuple[Tensor, ...], weights: tuple[Tensor, ...]) -> bool:
    return len(kept) == len(weights) and all(map(operator.is_, kept, weights))


# The convolution by FFT. Spectra are complex [frequency, group, signal or feature, feature].


def fft_length(n_tokens: int, n_taps: int) -> int:
    """Find the length of the transforms: even, with no prime factor above 7.

    What a shorter transform than ``n_tokens + n_taps - 1`` lets overlap is cut off with the
    padding, as long as half a kernel is left.

    >>> fft_length(156, 128), fft_length(312, 128)
    (224, 378)
    """
    # Under torch.compile the sizes may be symbols, which a length cannot be found of.
    n_tokens, n_taps = int(n_tokens), int(n_taps)
    shortest = max(n_taps, n_tokens + max(n_taps // 2, _n_before(n_taps)))
    even = itertools.count(shortest + shortest % 2, 2)
    return next(n for n in even if pow(210, n.bit_length(), n) == 0)


def _n_before(n_taps: int) -> int:
    """Count the outputs of the whole convolution that lie before the first token."""
    return n_taps - 1 - n_taps // 2


def to_spectrum(tokens: Tensor, groups: int, length: int) -> Tensor:
    """Transform tokens ``[signal, token, feature]``."""
    found: Tensor = torch.fft.rfft(tokens, length, dim=1).unflatten(2, (groups, -1))
    return found.permute(1, 2, 0, 3).contiguous()


def to_weight_spectrum(weight: Tensor, groups: int, length: int) -> Tensor:
    """Transform a convolution's weight ``[feature out, feature in, tap]``."""
    # torch correlates; a convolution has the taps the other way round.
    found: Tensor = torch.fft.rfft(weight.flip(-1), length).unflatten(0, (groups, -1))
    return found.permute(3, 0, 2, 1).contiguous()


def _to_tokens(spectrum: Tensor, length: int, first: int, n_tokens: int) -> Tensor:
    by_signal = spectrum.permute(2, 0, 1, 3).flatten(2)
    found: Tensor = torch.fft.irfft(by_signal, length, dim=1)
    return found[:, first : first + n_tokens].contiguous()


# As one operation each for torch.compile, which has no complex numbers.


@torch.library.custom_op(
    "ecg_assets::convolve_tokens",
    mutates_args=(),
    schema="(Tensor tokens, Tensor weight, int groups) -> (Tensor, Tensor, Tensor)",
)
def convolve_tokens(tokens: Tensor, weight: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Convolve tokens along their time, with zeros around them.

    Parameters
    ----------
    tokens
        float32 or float64, ``[signal, token, feature]``.
    weight
        Of a grouped convolution, ``[feature, feature of the group, tap]``.
    groups
        Of its features.

    Returns
    -------
    tuple
        Of the shape of `tokens`; and both spectra as pairs of real numbers, for the gradients.
    """
    n_tokens, n_taps = tokens.shape[1], weight.shape[2]
    length = fft_length(n_tokens, n_taps)
    signal = to_spectrum(tokens, groups, length)
    kernel = to_weight_spectrum(weight, groups, length)
    found = _to_tokens(signal @ kernel, length, _n_before(n_taps), n_tokens)
    return found, torch.view_as_real(signal), torch.view_as_real(kernel)


@convolve_tokens.register_fake
def _(tokens: Tensor, weight: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    (n_signals, n_tokens, width), (_, n_in, n_taps) = tokens.shape, weight.shape
    n_frequencies = fft_length(n_tokens, n_taps) // 2 + 1
    return (
        tokens.new_empty(tokens.shape),
        tokens.new_empty(n_frequencies, groups, n_signals, n_in, 2),
        tokens.new_empty(n_frequencies, groups, n_in, width // groups, 2),
    )


@torch.library.custom_op(
    "ecg_assets::convolve_tokens_backward",
    mutates_args=(),
    schema="(Tensor gradient, Tensor signal, Tensor kernel, int n_taps, bool needs_weight) "
    "-> (Tensor, Tensor)",
)
def convolve_tokens_backward(
    gradient: Tensor, signal: Tensor, kernel: Tensor, n_taps: int, needs_weight: bool
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of tokens and weight; the latter is empty where it is not needed.

    Parameters
    ----------
    gradient
        Of the convolved tokens, ``[signal, token, feature]``.
    signal, kernel
        Spectra as `convolve_tokens` gives them.
    n_taps
        Of the weight.
    needs_weight
        Whether the weight is trained.
    """
    n_tokens, groups, before = gradient.shape[1], kernel.shape[1], _n_before(n_taps)
    length = fft_length(n_tokens, n_taps)
    arrived = to_spectrum(functional.pad(gradient, (0, 0, before, 0)), groups, length)
    of_tokens = _to_tokens(arrived @ torch.view_as_complex(kernel).mH, length, 0, n_tokens)
    of_weight = gradient.new_empty(0)
    if needs_weight:
        product = torch.view_as_complex(signal).mH @ arrived
        by_weight = product.permute(1, 3, 2, 0).flatten(0, 1)
        of_weight = torch.fft.irfft(by_weight, length)[..., :n_taps].flip(-1)
    return of_tokens, of_weight.contiguous()


@convolve_tokens_backward.register_fake
def _(
    gradient: Tensor, signal: Tensor, kernel: Tensor, n_taps: int, needs_weight: bool
) -> tuple[Tensor, Tensor]:
    _, groups, n_in, n_out, _ = kernel.shape
    shape = (groups * n_out, n_in, n_taps) if needs_weight else (0,)
    return gradient.new_empty(gradient.shape), gradient.new_empty(shape)


def _keep_spectra(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output[1:])
    ctx.n_taps = inputs[1].shape[2]


def _gradients(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor, Tensor | None, None]:
    needs_weight = ctx.needs_input_grad[1]
    of_tokens, of_weight = convolve_tokens_backward(
        gradient.contiguous(), *ctx.saved_tensors, ctx.n_taps, needs_weight
    )
    return of_tokens, of_weight if needs_weight else None, None


convolve_tokens.register_autograd(_gradients, setup_context=_keep_spectra)

"""Architecture of each size of ECG-LFM; needs no torch."""

from __future__ import annotations

from typing import Any

SIZES: dict[str, dict[str, Any]] = {
    # The shape of no published model, for two CPU cores; six convolutions instead of four give
    # a segment of 5 s 39 tokens instead of 156, as ECG-FM's smallest size has.
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "conv_dim": (16, 16, 32, 32, 64, 64),
        "conv_kernel": (2, 2, 2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2, 2, 2),
        "conv_depthwise_kernel_size": 7,
    },
    # The published settings: 626,812,672 parameters in pre-training, of which 606,094,336 are
    # this encoder's with 12 input channels.
    "base": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "conv_dim": (256, 256, 256, 256),
        "conv_kernel": (2, 2, 2, 2),
        "conv_stride": (2, 2, 2, 2),
        "conv_depthwise_kernel_size": 31,
    },
}
"""Architecture of each size by name."""

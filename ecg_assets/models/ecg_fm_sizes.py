"""Architecture of each size of ECG-FM; needs no torch."""

from __future__ import annotations

from typing import Any

SIZES: dict[str, dict[str, Any]] = {
    # Learns the synthetic cohort on two CPU cores in minutes; the shape of no published model.
    "tiny": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "conv_dim": (32, 32, 32, 32),
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
    # The published ECG-FM: 90,373,248 parameters with 12 input channels, without the head.
    "base": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "conv_dim": (256, 256, 256, 256),
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
    },
}
"""Architecture of each size by name."""

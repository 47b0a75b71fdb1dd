"""The configuration of an encoder while it is pre-trained."""

from __future__ import annotations

from typing import Any, TypeVar

from ecg_assets.models.pretraining.objective import Objective

Config = TypeVar("Config")


def pretraining_config(encoder: Config, objective: Objective) -> Config:
    """Give an encoder's configuration the codebook and dropout of pre-training.

    Parameters
    ----------
    encoder
        Its shape and channels: a configuration as wav2vec 2.0's.
    objective
        Codebook and dropout.
    """
    values = {
        "num_codevectors_per_group": objective.code_vectors,
        "num_codevector_groups": objective.code_groups,
        "codevector_dim": objective.code_width,
        "proj_codevector_dim": objective.compared_width or objective.code_width,
        "hidden_dropout": objective.dropout,
        "attention_dropout": objective.dropout,
        "feat_proj_dropout": objective.dropout,
        "feat_quantizer_dropout": objective.dropout,
        "activation_dropout": 0.0,
    }
    given: Any = encoder
    config: Config = type(given).from_dict({**given.to_dict(), **values})
    return config

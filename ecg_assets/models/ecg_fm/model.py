"""ECG-FM: wav2vec 2.0 over ECG leads with a linear head over its mean-pooled tokens.

The modules are those of transformers; only the first convolution (several input channels),
the form of the positional one and the order of positions and padding differ. With the same
weights the outputs equal fairseq-signals' `ecg_transformer_classifier`
(https://github.com/Jwoo5/fairseq-signals).
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers.models.wav2vec2.modeling_wav2vec2 import (
    Wav2Vec2Model,
    Wav2Vec2PreTrainedModel,
)

from ecg_assets.models.ecg_fm.config import EcgFmConfig
from ecg_assets.models.ecg_fm.positions import PositionalConvolution
from ecg_assets.models.token_models import (
    LeadConvolutions,
    TokenClassifier,
    TokenEncoder,
    TokenModel,
)


class EcgFmEncoder(TokenEncoder, Wav2Vec2Model):  # type: ignore[misc]
    """wav2vec 2.0 encoder for signals ``[batch, channel, sample]``."""

    config_class = EcgFmConfig

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__(config)
        self.feature_extractor = LeadConvolutions(config)
        positions = self.encoder.pos_conv_embed
        self.encoder.pos_conv_embed = PositionalConvolution(positions, config)
        self.post_init()

    def contextualize(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Run positions and transformer over projected features ``[batch, token, feature]``."""
        # fairseq-signals adds positions first and zeroes the padding after;
        # transformers does it the other way round, which moves logits by units.
        return self.run_layers(hidden + self.encoder.pos_conv_embed(hidden), padded)

    def run_layers(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Run the transformer over features that have their positions."""
        attended = None
        if padded is not None:
            hidden = hidden.masked_fill(padded[:, :, None], 0.0)
            attended = ~padded[:, None, None, :]
        hidden = self.encoder.dropout(self.encoder.layer_norm(hidden))
        for layer in self.encoder.layers:
            output = layer(hidden, attention_mask=attended)
            # Up to transformers 5.15 a layer returns a tuple.
            hidden = output[0] if isinstance(output, tuple) else output
        return hidden

    def find_padded_tokens(self, lengths: Tensor, n_samples: int) -> Tensor:
        """Tell which tokens lie past each signal's end, as `TokenEncoder`."""
        if self.config._attn_implementation != "sdpa":
            raise ValueError(
                f"attention is {self.config._attn_implementation!r}; signals of different "
                "lengths need 'sdpa' (attn_implementation='sdpa')."
            )
        return super().find_padded_tokens(lengths, n_samples)


class EcgFm(TokenModel, Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """The encoder alone; its weights are those of `EcgFmForClassification` without the head."""

    config_class = EcgFmConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__(config)
        self.encoder = EcgFmEncoder(config)
        self.post_init()


class EcgFmForClassification(TokenClassifier, Wav2Vec2PreTrainedModel):  # type: ignore[misc]
    """Encoder, mean over unpadded tokens, linear head.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = EcgFmConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: EcgFmConfig) -> None:
        super().__init__(config)
        self.encoder = EcgFmEncoder(config)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

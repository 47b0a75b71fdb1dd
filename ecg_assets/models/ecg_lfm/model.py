"""ECG-LFM: a conformer over ECG leads with a linear head over its mean-pooled tokens.

It has neither convolutional positions nor a last layer norm. With the same weights the outputs
equal those of ECG-LFM (https://github.com/biomed-AI/ECG-LFM).

Each layer has a batch norm. Its statistics follow the batches while all weights are trained, as
they do in ECG-LFM's fine-tuning; adapters and a head alone leave them as the pretrained checkpoint
has them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
    Wav2Vec2ConformerFeatureProjection,
    Wav2Vec2ConformerPreTrainedModel,
)

from ecg_assets.models.ecg_lfm.config import EcgLfmConfig
from ecg_assets.models.ecg_lfm.layers import ConformerLayers
from ecg_assets.models.token_models import (
    LeadConvolutions,
    TokenClassifier,
    TokenEncoder,
    TokenModel,
)


class EcgLfmEncoder(TokenEncoder, Wav2Vec2ConformerPreTrainedModel):  # type: ignore[misc]
    """Conformer encoder for signals ``[batch, channel, sample]``."""

    config_class = EcgLfmConfig

    def __init__(self, config: EcgLfmConfig) -> None:
        super().__init__(config)
        self.feature_extractor = LeadConvolutions(config)
        self.feature_projection = Wav2Vec2ConformerFeatureProjection(config)
        self.encoder = ConformerLayers(config)
        self.post_init()

    def contextualize(self, hidden: Tensor, padded: Tensor | None = None) -> Tensor:
        """Run the conformer over projected features ``[batch, token, feature]``."""
        return self.contextualize_layers(hidden, padded)[-1]

    def contextualize_layers(self, hidden: Tensor, padded: Tensor | None = None) -> list[Tensor]:
        """Run it, and give the output of each layer ``[batch, token, feature]``."""
        outputs: list[Tensor] = self.encoder(hidden, padded)
        return outputs

    def encode(self, input_values: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Encode as `TokenEncoder`, but a padded signal becomes what it is alone.

        ECG-LFM cannot read padded signals as its data set gives them, so there is nothing to
        equal. The group norm of the first convolution runs over a whole signal; each is
        convolved alone, therefore, and the tokens are padded.
        """
        if lengths is None:
            return super().encode(input_values, None)
        self.require_channels(input_values)
        padded = self.find_padded_tokens(lengths, input_values.shape[-1])
        features = pad_sequence(
            [
                self.feature_extractor(signal[None, :, :length])[0].T
                for signal, length in zip(input_values, lengths.tolist(), strict=True)
            ],
            batch_first=True,
        )
        # All of a batch may be shorter than its samples.
        padded = padded[:, : features.shape[1]]
        hidden, _ = self.feature_projection(features)
        return self.contextualize(hidden, padded), padded


class EcgLfm(TokenModel, Wav2Vec2ConformerPreTrainedModel):  # type: ignore[misc]
    """The encoder alone; its weights are those of `EcgLfmForClassification` without the head."""

    config_class = EcgLfmConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: EcgLfmConfig) -> None:
        super().__init__(config)
        self.encoder = EcgLfmEncoder(config)
        self.post_init()


class EcgLfmForClassification(TokenClassifier, Wav2Vec2ConformerPreTrainedModel):  # type: ignore[misc]
    """Encoder, mean over unpadded tokens, linear head.

    ECG-LFM divides the sum over tokens by the number of those that are not exactly zero; with
    unpadded tokens, which a layer norm gives, that is the mean.

    Parameters
    ----------
    config
        `num_labels` is the width of the head.
    """

    config_class = EcgLfmConfig
    base_model_prefix = "encoder"
    main_input_name = "input_values"

    def __init__(self, config: EcgLfmConfig) -> None:
        super().__init__(config)
        self.encoder = EcgLfmEncoder(config)
        self.head = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

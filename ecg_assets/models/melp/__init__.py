"""MELP: wav2vec 2.0 whose tokens are pooled by attention, as it was trained with reports.

Belongs here: the path from a recording to its features, its sizes, what it says of itself
(`family`), its files: reading and import. The encoder is that of `ecg_assets.models.ecg_fm`.
"""

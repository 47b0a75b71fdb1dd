"""D-BETA: wav2vec 2.0 with a class token, as it was trained with reports.

Belongs here: the path from a recording to its features, its sizes, what it says of itself
(`family`), its files: reading and import. The modules are those of `ecg_assets.models.ecg_fm`.
"""

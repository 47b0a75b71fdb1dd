"""CLEF: Net1D over one lead, in three sizes.

Belongs here: its architecture and sizes, what it says of itself (`family`), its files: reading and
import. The network's modules are `ecg_assets.models.ecg_founder.net1d`.
"""

"""HuBERT-ECG: transformers' HuBERT over twelve leads laid end to end.

Belongs here: its architecture and sizes, what it says of itself (`family`), its files: reading and
import.
"""

"""ECG-JEPA: a vision transformer over patches of eight leads, with attention across and along them.

Belongs here: its architecture and sizes, what it says of itself (`family`), its files: reading and
import.
"""

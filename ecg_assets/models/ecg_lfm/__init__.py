"""ECG-LFM: a conformer over ECG leads.

Belongs here: its architecture and sizes, what it says of itself (`family`), its files: reading and
import.
"""

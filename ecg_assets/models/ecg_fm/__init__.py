"""ECG-FM: wav2vec 2.0 over ECG leads.

Belongs here: its architecture and sizes, what it says of itself (`family`), its files as
fairseq-signals writes them: reading, import, export.
"""

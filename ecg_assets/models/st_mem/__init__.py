"""ST-MEM: a vision transformer over patches of twelve leads with separators between the leads.

Belongs here: its architecture and sizes, what it says of itself (`family`), its files: reading and
import.
"""

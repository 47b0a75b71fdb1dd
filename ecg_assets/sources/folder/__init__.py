"""A folder of recordings of one's own: arrays or WFDB files, with labels beside them."""

"""One module a stage, named as the stage; each asset is thin. A module here is loaded by itself.

Its IO managers that no other stage uses stand in it, as ``IO_MANAGERS`` by key.
"""

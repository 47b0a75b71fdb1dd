"""One module a stage, named as the stage; each asset is thin."""

"""What every training shares: its request, run, data, progress, history and record."""

"""Losses of distances between boundaries: formulas in boundary.loss, which stand on the two kernels in kernels.py."""

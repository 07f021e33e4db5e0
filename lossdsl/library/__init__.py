"""The built-in losses: formulas in *.loss, and kernels for what cannot be a formula."""

"""Tensor mathematics of Lipschitz networks: no modules, no specs, no files."""

"""Configuration files of the original LNets code, as experiments."""

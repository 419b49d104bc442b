"""What networks are trained on: distributions and images."""

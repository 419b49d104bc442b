"""Names of the files in a trial's folder of a store."""

WEIGHTS = "model.safetensors"
EXPERIMENT_FILE = "experiment.json"
CHECKPOINT = "checkpoint.safetensors"
"""From which a trial goes on after it was cut off, or has paused."""
SNAPSHOT = "snapshot_{}.safetensors"
"""A checkpoint at a pause, from which other trials go on."""

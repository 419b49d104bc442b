"""What a person may ask for: Pydantic models only, no torch, no ray, no optuna."""

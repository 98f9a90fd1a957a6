"""Dataset and recipe -> float model -> int8 model file."""

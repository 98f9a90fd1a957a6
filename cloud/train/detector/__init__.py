"""Scenes and sign crops -> float detector -> int8 model file."""

"""Pixels to predictions; used unchanged by training and evaluation."""

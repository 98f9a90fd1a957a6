"""Fixtures that every test may use."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real images, models and clips beside the checkout."""
    if not DATA.is_dir():
        pytest.skip("shared/data is not beside this checkout")
    return DATA

from pathlib import Path

import pytest

from agent.base.files import lock_folder
from agent.contract.errors import UnavailableError


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    with (
        lock_folder(tmp_path, "agent"),
        pytest.raises(UnavailableError, match="another agent runs"),
    ):
        lock_folder(tmp_path, "agent")
    lock_folder(tmp_path, "agent").close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="file"):
        lock_folder(tmp_path / "file" / "state", "agent")

"""Profiles and models that travel with the package. Adapter."""

from pathlib import Path
from typing import Final

from agent.base.toml import read_toml
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.manifest import ModelManifest
from agent.contract.profile import Profile, parse_profile

_PACKAGE: Final = Path(__file__).resolve().parents[1]
PROFILES: Final = _PACKAGE / "profiles"
MODELS: Final = _PACKAGE / "models"


def shipped_profiles() -> tuple[str, ...]:
    """Return the names of the shipped profiles, sorted."""
    return tuple(sorted(path.stem for path in PROFILES.glob("*.toml")))


def load_profile(name_or_path: str) -> Profile:
    """Read a profile.

    Args:
        name_or_path: A shipped profile's name, or the path of a TOML file (anything with a
            slash or ending in `.toml`).

    Raises:
        BadContentError: no such shipped profile, not TOML, or not a profile.
        UnavailableError: the file cannot be read.
    """
    is_path = "/" in name_or_path or name_or_path.endswith(".toml")
    path = Path(name_or_path) if is_path else PROFILES / f"{name_or_path}.toml"
    if not is_path and name_or_path not in shipped_profiles():
        raise BadContentError(
            f"profile {name_or_path!r}: not shipped; use one of {', '.join(shipped_profiles())}"
            " or a path that ends in .toml"
        )
    return parse_profile(read_toml(path), str(path))


def shipped_models() -> tuple[Path, ...]:
    """Return the paths of the shipped model files, sorted."""
    return tuple(sorted(MODELS.glob("*.tflite")))


def find_model(name_or_path: Path) -> Path:
    """Return the path of a model file, or of the shipped one of that name.

    Args:
        name_or_path: A file, or a shipped model's name with or without `.tflite`.

    Raises:
        UnavailableError: there is neither.
    """
    if name_or_path.exists() and not name_or_path.is_dir():
        return name_or_path
    shipped = shipped_models()
    for path in shipped:
        if str(name_or_path) in (path.name, path.stem):
            return path
    names = ", ".join(path.name for path in shipped)
    raise UnavailableError(
        f"{name_or_path}: no such file, nor a shipped model ({names}); check the path"
    )


def notice_of(manifest: ModelManifest | None) -> str:
    """Return what must be said about a model, by the shipped profile it was trained for."""
    name = manifest.profile if manifest else ""
    return load_profile(name).notice if name in shipped_profiles() else ""


def shipped_model(name: str) -> Path:
    """Return the path of a shipped model file, by its name in `agent/models`.

    Raises:
        BadContentError: `name` is empty or holds a folder.
        UnavailableError: no such file is shipped.
    """
    if not name or name != Path(name).name:
        raise BadContentError(f"model {name!r}: give a file name without folders")
    path = MODELS / name
    if not path.is_file():
        raise UnavailableError(f"{path}: no such shipped model; give [model] file in the config")
    return path

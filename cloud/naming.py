"""Names of a data folder's classes, as a profile or a model calls them. Shell."""

from dataclasses import replace

from agent.contract.errors import BadContentError
from agent.contract.manifest import ModelManifest
from agent.contract.messages import NONE_OF_THESE
from agent.contract.profile import Profile
from agent.vision.shipped import load_profile, shipped_profiles
from cloud.data import DataFolder


def with_names(folder: DataFolder, profile: Profile) -> DataFolder:
    """Return the folder with the profile's labels where it uses aliases of them.

    Two names of one class become one label, twice. A name that the profile does not know stays.
    """
    labels = tuple(profile.canonical(label) or label for label in folder.labels)
    return replace(folder, labels=labels)


def named_for(
    folder: DataFolder, labels: tuple[str, ...], manifest: ModelManifest | None, profile: str
) -> DataFolder:
    """Return the folder with classes named as a model's labels.

    Args:
        folder: The data.
        labels: The model's.
        manifest: Names the profile that the model was trained for; None: a stock model.
        profile: Another profile's name or path; empty: the manifest's, where it is shipped.

    Raises:
        BadContentError: the classes have no order to go by, and a name is not the model's.
        UnavailableError: the profile cannot be read.
    """
    name = profile or (manifest.profile if manifest else "")
    if profile or name in shipped_profiles():
        folder = with_names(folder, load_profile(name))
    unknown = sorted(set(folder.labels) - set(labels) - {NONE_OF_THESE})
    if unknown and not folder.ordered:
        raise BadContentError(
            f"{folder.root}: class {unknown[0]!r} is no label of the model ({', '.join(labels[:5])}"
            f"{', ...' if len(labels) > 5 else ''}); rename the folder, or give the --profile whose"
            " aliases name it"
        )
    return folder

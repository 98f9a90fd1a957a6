"""Public models that `secondlook model pull` knows, by address and hash. Pure."""

from dataclasses import dataclass
from typing import Final

from agent.contract.errors import BadContentError


@dataclass(frozen=True, slots=True)
class Source:
    """A public file."""

    url: str
    """Names a commit or a generation, so that what lies there does not change."""
    sha256: str
    size: int
    """In bytes."""


@dataclass(frozen=True, slots=True)
class StockModel:
    """A model of somebody else, without a manifest."""

    name: str
    about: str
    terms: str
    """Licence of the weights."""
    model: Source
    labels: tuple[str, ...] | Source
    """In class order. Their own text where the public label file counts otherwise."""


_CORAL: Final = (
    "https://raw.githubusercontent.com/google-coral/test_data/"
    "104342d2d3480b3e66203073dac24f4e2dbb4c41"
)
_TINY: Final = (
    "https://raw.githubusercontent.com/mlcommons/tiny/1afd2c9820f795965a6134facd0b4dfae41ef23f"
)
_MEDIAPIPE: Final = "https://storage.googleapis.com/mediapipe-assets"
_COCO: Final = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "trafficlight", "firehydrant", "streetsign", "stopsign", "parkingmeter", "bench", "bird",
    "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "hat",
    "backpack", "umbrella", "shoe", "eyeglasses", "handbag", "tie", "suitcase", "frisbee", "skis",
    "snowboard", "sportsball", "kite", "baseballbat", "baseballglove", "skateboard", "surfboard",
    "tennisracket", "bottle", "plate", "wineglass", "cup", "fork", "knife", "spoon", "bowl",
    "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hotdog", "pizza", "donut",
    "cake", "chair", "couch", "pottedplant", "bed", "mirror", "diningtable", "window", "desk",
    "toilet", "door", "tv", "laptop", "mouse", "remote", "keyboard", "cellphone", "microwave",
    "oven", "toaster", "sink", "refrigerator", "blender", "book", "clock", "vase", "scissors",
    "teddybear", "hairdrier", "toothbrush",
)  # fmt: skip
"""COCO's numbers from 1 to 90; the ten that COCO left empty are named too, and never found."""
_IMAGENET: Final = Source(
    f"{_CORAL}/imagenet_labels.txt",
    "b8aaeb5630c62626a7d124a05c0e14230a7ffdd2136a31d0190a4fb71c1d82f1",
    21_686,
)

STOCK: Final = (
    StockModel(
        "ssd-mobilenet-v1-coco",
        "finds people, vehicles, animals, things: 80 classes of COCO",
        "Apache-2.0",
        Source(
            f"{_MEDIAPIPE}/coco_ssd_mobilenet_v1_1.0_quant_2018_06_29_no_metadata.tflite"
            "?generation=1677522735292070",
            "e4b118e5e4531945de2e659742c7c590f7536f8d0ed26d135abcfe83b4779d13",
            4_183_312,
        ),
        _COCO,
    ),
    StockModel(
        "visual-wake-words",
        "tells whether a person is in the picture; weak on small ones",
        "Apache-2.0",
        Source(
            f"{_TINY}/benchmark/training/visual_wake_words/trained_models/vww_96_int8.tflite",
            "597a384c8c2c8a1276f04702f25013b7838f2f814f1ca7c174d295b73e3d6b7b",
            333_288,
        ),
        ("non_person", "person"),
    ),
    StockModel(
        "mobilenet-v2-imagenet",
        "names what fills the picture: 1,000 classes of ImageNet",
        "Apache-2.0",
        Source(
            f"{_CORAL}/mobilenet_v2_1.0_224_quant.tflite",
            "7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776",
            3_610_798,
        ),
        _IMAGENET,
    ),
    StockModel(
        "mobilenet-v1-small-imagenet",
        "the same, smaller and less accurate",
        "Apache-2.0",
        Source(
            f"{_CORAL}/mobilenet_v1_0.25_128_quant.tflite",
            "cb273c23ee76374b05b9583177e28aa19744858a7679c56a250e83d0333da785",
            525_598,
        ),
        _IMAGENET,
    ),
)


def stock_model(name: str) -> StockModel:
    """Return a stock model by its name.

    Raises:
        BadContentError: there is none of that name.
    """
    for model in STOCK:
        if model.name == name:
            return model
    known = ", ".join(m.name for m in STOCK)
    raise BadContentError(f"model {name!r}: not among the stock models; use one of {known}")

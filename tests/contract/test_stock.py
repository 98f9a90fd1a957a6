"""The table of public models, against the real files."""

import hashlib
from pathlib import Path

import pytest

from agent.contract.errors import BadContentError
from agent.contract.manifest import parse_labels
from agent.contract.stock import STOCK, Source, StockModel, stock_model
from agent.vision.shipped import load_profile


def files(folder: Path) -> dict[str, bytes]:
    contents = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
    return {hashlib.sha256(data).hexdigest(): data for data in contents}


@pytest.mark.data
@pytest.mark.parametrize("stock", STOCK, ids=lambda m: m.name)
def test_hashes_sizes_and_labels_are_those_of_the_real_files(
    stock: StockModel, data_dir: Path
) -> None:
    by_hash = files(data_dir / "models")
    assert len(by_hash[stock.model.sha256]) == stock.model.size
    if isinstance(stock.labels, Source):
        assert len(by_hash[stock.labels.sha256]) == stock.labels.size
    else:
        texts = [d for p, d in by_hash.items() if d[:4] != b"PK" and b"\0" not in d]
        assert stock.labels in [parse_labels(text) for text in texts]


@pytest.mark.parametrize("stock", STOCK, ids=lambda m: m.name)
def test_addresses_are_safe_and_fixed(stock: StockModel) -> None:
    for source in (stock.model, stock.labels):
        if isinstance(source, Source):
            assert source.url.startswith("https://")
            assert not {"master", "main", "HEAD"} & set(source.url.split("/"))


def test_names_differ_and_an_unknown_one_is_told_the_others() -> None:
    assert len({m.name for m in STOCK}) == len(STOCK)
    with pytest.raises(BadContentError, match=f"'yolo': .*{STOCK[0].name}"):
        stock_model("yolo")


def test_the_detector_knows_the_classes_of_the_profile_for_it() -> None:
    labels = stock_model("ssd-mobilenet-v1-coco").labels
    assert not isinstance(labels, Source)
    assert set(load_profile("surveillance").labels) <= set(labels)

"""The main job on real pictures and clips: agent as a program, Mosquitto, the worker."""

import os
from pathlib import Path

import pytest

from cloud.config import parse_cloud_config
from cloud.demo.recount import Figures, recount
from cloud.demo.standin import Truth
from cloud.worker import Worker
from tests.conftest import Mosquitto
from tests.llm_server import LlmServer
from tests.programs import Program, running

DEVICE = """
device = "cam-1"
profile = "{profile}"
state_dir = "{root}/device"
[[camera]]
name = "road"
uri = "{uri}"
{propose}
[model]
file = "{model}"
[broker]
url = "{broker}"
protocol = "{protocol}"
[spool]
ledger = true
[settings]
looks_per_day = 5000
audit_share = 0.1
bytes_per_day = 50000000
"""


def job(
    root: Path,
    broker: Mosquitto,
    profile: str,
    answer: str,
    uri: str,
    *,
    propose: str = "",
    model: str = "",
    protocol: str = "5",
) -> Figures:
    """Run agent and worker over one source to its end, and recount from their files."""
    with LlmServer(lambda _: answer) as llm:
        config = parse_cloud_config(
            {
                "state_dir": str(root / "cloud"),
                "profile": profile,
                "broker": {"url": broker.url, "protocol": protocol},
                "label": {"base_url": llm.url, "api_key_env": "", "daily_cap_usd": 100.0},
            },
            "test",
        )
        file = root / "device.toml"
        file.write_text(
            DEVICE.format(
                root=root, profile=profile, uri=uri, propose=propose, model=model,
                broker=broker.url, protocol=protocol,
            )
        )  # fmt: skip
        agent = Program(
            "agent", "run", "--config", str(file), "--until-settled", "60", log=root / "agent.log"
        )
        with Worker(config), running(agent):
            assert agent.finish(240) == os.EX_OK, agent.output[-3000:]
    return recount(root, lambda _: Truth(answer, readable=True))


@pytest.mark.data
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_gtsrb_stills_end_labelled_none_lost_none_twice(
    tmp_path: Path, data_dir: Path, mosquitto: Mosquitto, protocol: str
) -> None:
    figures = job(
        tmp_path, mosquitto, "traffic-signs", "Stop",
        f"dir://{data_dir}/gtsrb?every=61", propose='propose = { kind = "whole-frame" }',
        protocol=protocol,
    )  # fmt: skip
    assert figures.seen == 643
    assert figures.looks > 30
    assert figures.labelled == figures.verdicts == figures.looks
    assert (figures.lost, figures.duplicated) == (0, 0)
    assert figures.bytes_per_look_p50 <= 2_500
    assert figures.bytes_per_look_p99 <= 4_000


@pytest.mark.data
@pytest.mark.slow
def test_a_domain_the_model_does_not_know_yields_looks(
    tmp_path: Path, data_dir: Path, mosquitto: Mosquitto
) -> None:
    figures = job(
        tmp_path, mosquitto, "surveillance", "car",
        f"file://{data_dir}/video/car-detection.mp4",
        model=str(data_dir / "models" / "ssd_mobilenet_v1_coco_quant.tflite"),
    )  # fmt: skip
    assert figures.looks > 0
    assert figures.seen == 0, "weak boxes are asked about; they are no sightings"
    assert figures.labelled == figures.verdicts == figures.looks
    assert (figures.lost, figures.duplicated) == (0, 0)

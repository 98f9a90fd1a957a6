import json
from dataclasses import replace

from cloud.report import ClassReport, Report, report_json, report_text

REPORT = Report(
    accuracy=0.975,
    accuracy_interval=(0.96, 0.985),
    interval_over="tracks",
    groups=1_261,
    n=12_000,
    errors=300,
    ece=0.0123,
    nll=0.08765,
    uncertainty="1 - margin",
    error_auroc=0.98765,
    errors_in_top_5=0.815,
    none_rate=0.0025,
    invoke_us=1_234.5,
    size_bytes=509_875,
    sha256="ab" * 32,
    data_sha256="cd" * 32,
    split="val",
    region="roi",
    matched_by="name",
    per_class={
        "Stop": ClassReport(100, 50),
        "Yield": ClassReport(1_000, 250),
        "Fine": ClassReport(10_900, 0),
        **{f"Class {n} {'with a long name ' * 5}": ClassReport(1_000, n) for n in range(1, 8)},
    },
    confused=(("Yield", "Stop", 200), ("A" * 90, "B" * 90, 12_345)),
)


def test_people_read_the_same_figures_in_eighty_columns() -> None:
    text = report_text(REPORT)
    assert max(map(len, text.splitlines())) <= 80
    for words in (
        "12,000 images", "97.50%", "96.00% to 98.50%, by 1,261 tracks", "1.23%", "0.0877",
        "0.9877", "by 1 - margin", "81.5%", "0.25%", "1,234 us", "509,875 B",
    ):  # fmt: skip
        assert words in text
    lines = text.splitlines()
    worst = lines.index(next(line for line in lines if line.startswith("worst classes")))
    assert lines[worst + 1].split() == ["Stop", "50", "100", "50.0%"]
    assert lines[worst + 2].split() == ["Yield", "250", "1,000", "25.0%"]
    assert "Fine" not in text
    assert lines[worst + 8].split() == ["Yield", "Stop", "200"]


def test_a_corruption_is_named_and_no_error_leaves_dashes() -> None:
    report = replace(
        REPORT, errors=0, error_auroc=None, errors_in_top_5=None, per_class={}, confused=()
    )
    assert "spoilt by fog:3" in report_text(replace(report, corruption="fog:3"))
    assert report_text(report).count("           -  ") == 2
    assert "worst" not in report_text(report)
    assert json.loads(report_json(report))["error_auroc"] is None

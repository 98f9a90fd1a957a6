"""`secondlook-cloud status`, `advice` and `fleet show`: what the database says. Shell."""

import json
import time
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.base.clock import SystemClock
from agent.contract.messages import AdviceBody
from cloud.advise import draw_up
from cloud.adviser import judged_looks
from cloud.config import CloudConfig
from cloud.database import open_database, reading
from cloud.fleet import Twin
from cloud.label.budget import Budget, utc_day
from cloud.orders import Orders
from cloud.store import Store, ahead


def gather(config: CloudConfig) -> dict[str, Any]:
    """Return the worker's figures as plain values.

    Raises:
        UnavailableError: the database does not answer.
    """
    engine = open_database(config.database, create=False)
    try:
        totals = Store(engine).totals()
        budget = Budget(engine, config.label.daily_cap_usd)
        today = budget.spent(utc_day(SystemClock().now()))
        return {
            **asdict(totals),
            "cost_usd": budget.spent().usd,
            "cost_usd_today": today.usd,
            "daily_cap_usd": config.label.daily_cap_usd,
            "advice": len(Orders(engine).all("advice")),
            "problems": list(ahead(engine)),
        }
    finally:
        engine.dispose()


def show_status(config: CloudConfig, console: Console, *, as_json: bool) -> None:
    """Print the worker's figures."""
    figures = gather(config)
    if as_json:
        console.print_json(json.dumps(figures))
        return
    problems = figures.pop("problems")
    outcomes = ", ".join(f"{k} {v}" for k, v in sorted(figures.pop("outcomes").items()))
    table = Table(show_header=False, box=None)
    for name, value in {**figures, "outcomes": outcomes or "none yet"}.items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    console.print(table)
    for problem in problems:
        console.print(f"problem: {problem}", markup=False, soft_wrap=True)


def show_advice(config: CloudConfig, console: Console, *, as_json: bool) -> None:
    """Print what would be advised now, and what devices were told."""
    engine = open_database(config.database, create=False)
    try:
        body = draw_up(judged_looks(reading(engine), config.profile, config), config.advice)
        told = Orders(engine).all("advice")
    finally:
        engine.dispose()
    document = {
        "now": body.model_dump(mode="json") if body else None,
        "told": [{"device": o.device, "seq": o.seq, "expires": o.expires, **o.body} for o in told],
    }
    if as_json:
        console.print_json(json.dumps(document))
        return
    if body is None:
        console.print(f"fewer than {config.advice.min_looks} answered looks: nothing to advise yet")
    else:
        _print_advice(body, console)
    for order in told:
        days = (order.expires - time.time()) / 86_400
        console.print(f"{order.device} was told (seq {order.seq}), expires in {days:.1f} days")


def show_fleet(found: list[Twin], console: Console) -> None:
    """Print desired and reported config of devices."""
    table = Table("device", "online", "wanted", "runs it", "refused", box=None)
    for twin in found:
        wanted = " ".join(f"{k}={v}" for k, v in twin.desired.items()) or "-"
        refused = (
            twin.reported.refused[-1].reason if twin.reported and twin.reported.refused else ""
        )
        online = "yes" if twin.online else "no"
        table.add_row(twin.device, online, wanted, _runs(twin), refused)
    console.print(table)


def _runs(twin: Twin) -> str:
    if twin.cut:
        cuts = (f"{key} {wanted} -> {runs}" for key, (wanted, runs) in twin.cut.items())
        return "cut by its limits: " + ", ".join(cuts)
    return "yes" if twin.applied else "no"


def _print_advice(body: AdviceBody, console: Console) -> None:
    console.print(f"from {body.based_on} answered looks")
    console.print("collect: " + (", ".join(body.wanted) or "nothing in particular"), markup=False)
    for said, is_, count in body.confused:
        console.print(f"confused {count} times: said {said}, was {is_}", markup=False)
    for label, value in sorted(body.thresholds.items()):
        console.print(f"ask below margin {value:.2f}: {label}", markup=False)

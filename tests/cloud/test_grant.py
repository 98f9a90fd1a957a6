import pytest

from agent.contract.messages import AdviceBody, Grant
from cloud.grant import GRANTED, MIN_LOOKS, Paid, granted, moved, share_out


def test_the_cap_is_shared_out_at_the_price_paid_lately() -> None:
    found = share_out(2.0, 4, Paid(usd=0.5, looks=1_000))
    assert found
    assert found.usd_per_day == pytest.approx(2.0 * GRANTED / 4)
    assert found.usd_per_look == pytest.approx(0.0005)


@pytest.mark.parametrize(
    ("devices", "paid"), [(4, Paid(0.1, MIN_LOOKS - 1)), (4, Paid(0.0, 500)), (0, Paid(0.1, 500))]
)
def test_without_a_price_or_devices_nothing_is_granted(devices: int, paid: Paid) -> None:
    assert share_out(2.0, devices, paid) is None


def test_no_money_is_a_grant_of_none() -> None:
    found = share_out(0.0, 3, Paid(0.1, 500))
    assert found
    assert found.usd_per_day == 0.0


def test_a_grant_rides_on_advice_or_alone() -> None:
    grant = Grant(usd_per_day=0.1, usd_per_look=0.001)
    assert granted(None, None) is None
    assert granted(None, None, before=grant) == AdviceBody(), "it is taken back"
    alone = granted(None, grant)
    assert alone
    assert (alone.grant, alone.based_on) == (grant, 0)
    both = granted(AdviceBody(wanted=("Stop",), based_on=9), grant)
    assert both
    assert (both.wanted, both.grant) == (("Stop",), grant)


def test_small_changes_are_no_news() -> None:
    old = Grant(usd_per_day=0.1, usd_per_look=0.001)
    assert not moved(None, None)
    assert not moved(Grant(usd_per_day=0.12, usd_per_look=0.0009), old)
    assert moved(Grant(usd_per_day=0.13, usd_per_look=0.001), old)
    assert moved(Grant(usd_per_day=0.1, usd_per_look=0.0005), old)
    assert moved(Grant(usd_per_day=0.0, usd_per_look=0.001), old)
    assert moved(old, None)
    assert moved(None, old)

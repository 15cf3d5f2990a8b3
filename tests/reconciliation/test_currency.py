"""The group from quarter to quarter: currency and perimeter by hand, exact on random groups, on the sample's books."""

from fractions import Fraction

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit.errors import Faults
from kpitoolkit.reconciliation import currency, measures, rollup
from tests import sample_tables

NOW, THEN = "2026Q3", "2025Q3"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def unit(before, after, money="EUR", intercompany=(0, 0)):
    rows = [("revenue", THEN, before), ("revenue", NOW, after)]
    rows += [("intercompany_revenue", then, cents) for then, cents in zip((THEN, NOW), intercompany, strict=True)]
    frame = pd.DataFrame(rows, columns=["measure", "quarter", "value"]).astype({"value": float})
    return frame.assign(value_unit="money", currency=money)


def rates(before, after, money="GBP"):
    return pd.DataFrame({"quarter": [THEN, NOW], "currency": money, "rate": [before, after]})


def stated(**values):
    rows = [(name, then, value) for name, both in values.items() for then, value in zip((THEN, NOW), both, strict=True)]
    return pd.DataFrame(rows, columns=["measure", "quarter", "value"])


def steps(found):
    return found.table.set_index("step")["amount_cents"].to_dict()


UNITS = {
    "it": unit(5_000_000_00, 5_500_000_00, intercompany=(200_000_00, 250_000_00)),
    "eu": unit(3_000_000_00, 2_900_000_00),
    "uk": unit(1_800_000_00, 2_000_000_00, "GBP"),
}


def test_the_group_s_fixture_is_one_end():
    """5.0m + 3.0m + 2.0m GBP x 1.17 - 0.25m = 10,090,000."""
    now = {"it": (5, 0.25), "eu": (3, 0), "uk": (2, 0)}
    units = {
        name: unit(0, amount * 100_000_000, "GBP" if name == "uk" else "EUR", (0, between * 100_000_000))
        for name, (amount, between) in now.items()
    }
    found = currency.period_bridge(units, NOW, "EUR", rates(1.20, 1.17))
    assert steps(found)[NOW] == 10_090_000_00 and steps(found)[THEN] == 0
    assert steps(found)["intercompany"] == -250_000_00


def test_currency_by_hand():
    found = currency.period_bridge(UNITS, NOW, "EUR", rates(1.20, 1.17))
    uk = found.units.set_index("unit").loc["uk"]
    # 1.8m x 1.20 = 2.16m; 2.0m x 1.17 = 2.34m; 0.2m x 1.185 = 237,000; -0.03 x 1.9m = -57,000
    assert [uk[name] for name in ("before_cents", "after_cents")] == [2_160_000_00, 2_340_000_00]
    assert [uk[name] for name in ("organic_cents", "currency_effect_cents")] == [237_000_00, -57_000_00]
    assert uk["growth_constant_currency"] == pytest.approx(1 / 9)
    assert steps(found) == {
        THEN: 9_960_000_00,
        "organic": 637_000_00,
        "currency": -57_000_00,
        "intercompany": -50_000_00,
        NOW: 10_490_000_00,
    }
    assert found.growth == pytest.approx(10_740 / 10_160 - 1)
    assert found.growth_constant_currency == pytest.approx((5_500 + 2_900 + 2_400) / 10_160 - 1)


def test_at_one_rate_nothing_is_currency():
    found = currency.period_bridge(UNITS, NOW, "EUR", rates(1.17, 1.17))
    assert "currency" not in steps(found)
    assert found.growth == pytest.approx(found.growth_constant_currency)


def test_a_unit_that_enters_or_leaves_is_perimeter_not_growth():
    units = UNITS | {"new": unit(None, 400_000_00), "gone": unit(700_000_00, None)}
    stated_perimeter = {"new": ("2026Q2", None), "gone": (None, "2026Q1")}
    found = currency.period_bridge(units, NOW, "EUR", rates(1.20, 1.17), perimeter=stated_perimeter)
    assert steps(found)["entered_group"] == 400_000_00 and steps(found)["left_group"] == -700_000_00
    assert steps(found)["organic"] == 637_000_00 and steps(found)[NOW] == 10_890_000_00
    assert found.growth_constant_currency == pytest.approx((5_500 + 2_900 + 2_400) / 10_160 - 1)
    said = " ".join(found.findings("en", {"new": "Newcomer"}))
    assert "New in the group since then: Newcomer" in said and "No longer in the group: gone" in said


def test_what_a_unit_had_before_it_entered_is_not_the_group_s():
    units = UNITS | {"new": unit(300_000_00, 400_000_00)}
    found = currency.period_bridge(units, NOW, "EUR", rates(1.2, 1.17), perimeter={"new": ("2025Q4", None)})
    assert steps(found)["entered_group"] == 400_000_00 and steps(found)[THEN] == 9_960_000_00
    whole = currency.period_bridge(units, NOW, "EUR", rates(1.2, 1.17), perimeter={"new": ("2025Q3", None)})
    assert "entered_group" not in steps(whole) and steps(whole)["organic"] == 737_000_00


def test_a_unit_outside_at_both_ends_is_not_looked_at():
    units = UNITS | {"gone": None, "later": unit(None, None)}
    outside = {"gone": (None, "2024Q4"), "later": ("2026Q4", None)}
    found = currency.period_bridge(units, NOW, "EUR", rates(1.2, 1.17), perimeter=outside)
    assert found.status == "ok" and steps(found)[NOW] == 10_490_000_00


@pytest.mark.parametrize("language", ["en", "it"])
def test_a_gap_in_the_data_is_no_perimeter(language):
    found = currency.period_bridge(UNITS | {"new": unit(None, 400_000_00)}, NOW, "EUR", rates(1.2, 1.17))
    assert found.status == "partial" and found.unclear_units == ("new",) and not len(found.table)
    assert "new" in found.findings(language)[0] and found.growth is None
    found = currency.period_bridge(UNITS | {"eu": None}, NOW, "EUR", rates(1.2, 1.17))
    assert found.status == "partial" and found.missing_units == ("eu",)
    assert "eu" in found.findings(language)[0]
    found.plot(language=language)


def test_a_missing_rate_gives_no_figure():
    found = currency.period_bridge(UNITS, NOW, "EUR", rates(1.2, 1.17).tail(1))
    assert found.status == "no_figure" and not len(found.table)
    assert len(found.findings("en")) == 1


def test_a_perimeter_that_cannot_be_is_refused_with_all_its_faults():
    with pytest.raises(Faults) as raised:
        currency.period_bridge(UNITS, NOW, perimeter={"itt": (None, None), "uk": ("2026Q3", "2026Q1")})
    assert len(raised.value.faults) == 2 and "Did you mean 'it'" in str(raised.value)


def test_books_that_changed_their_currency_are_restated_at_the_earlier_rate():
    table = unit(1_200_00, 1_100_00)
    table.loc[table["quarter"] == NOW, "currency"] = "GBP"
    found = currency.period_bridge({"uk": table}, NOW, "EUR", rates(1.2, 1.1))
    row = found.units.iloc[0]
    assert row["local_before_cents"] == 1_000_00 and row["after_cents"] == 1_210_00
    assert row["growth_constant_currency"] == pytest.approx(0.10)
    assert steps(found)["organic"] == 115_00 and steps(found)["currency"] == -105_00


def test_the_group_s_own_books_leave_what_the_units_do_not_explain():
    own = stated(revenue=(9_960_000_00, 10_490_000_07), consolidation=(0, 0))
    found = currency.period_bridge(UNITS, NOW, "EUR", rates(1.2, 1.17), own)
    assert steps(found)["unexplained"] == 7 and steps(found)[NOW] == 10_490_000_07
    own = stated(revenue=(9_960_000_00, 10_489_999_00), consolidation=(0, -1_00))
    found = currency.period_bridge(UNITS, NOW, "EUR", rates(1.2, 1.17), own)
    assert steps(found)["unexplained"] == 0 and steps(found)["consolidation"] == -1_00


cents = st.integers(-(10**11), 10**11)
rate = st.integers(1, 30_000).map(lambda n: n / 10_000)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.tuples(cents, cents, cents, cents, st.booleans()), min_size=1, max_size=5), rate, rate, st.data())
def test_random_groups_close_to_the_cent(rows, before, after, data):
    units = {f"u{n}": unit(a, b, "GBP" if foreign else "EUR", (i, j)) for n, (a, b, i, j, foreign) in enumerate(rows)}
    options = [(None, None), (NOW, None), (None, THEN)]
    perimeter = {name: data.draw(st.sampled_from(options)) for name in units}
    found = currency.period_bridge(units, NOW, "EUR", rates(before, after), perimeter=perimeter)
    assert found.status in ("ok", "no_figure")  # no figure: nobody is in the group at one end
    if found.status != "ok":
        assert not all(
            any(side) for side in zip(*currency._within(units, perimeter, (THEN, NOW)).values(), strict=True)
        )
        return
    amounts = found.table["amount_cents"].tolist()
    assert sum(amounts[:-1]) == amounts[-1]
    for row in found.units[found.units["perimeter"] == "both_ends"].itertuples():
        assert row.organic_cents + row.currency_effect_cents == row.after_cents - row.before_cents
        rate_of = [Fraction(str(r)) if row.currency == "GBP" else 1 for r in (before, after)]
        exact = (row.local_after_cents - row.local_before_cents) * (rate_of[0] + rate_of[1]) / Fraction(2)
        assert abs(row.organic_cents - exact) <= 2


def test_on_the_sample_s_books_nothing_stays_unexplained():
    names = ("retail-it", "online-eu", "b2b", "retail-uk")
    units = {}
    for name in names:
        given_ = sample_tables.read(name, ["ledger"])
        units[name] = measures.compute(given_, "GBP" if name == "retail-uk" else "EUR")
    group = sample_tables.read("group", ["ledger", "fx_rates"])
    own = rollup.stated_by_group(group)
    found = currency.period_bridge(units, NOW, "EUR", group["fx_rates"], own)
    assert steps(found)["unexplained"] == 0
    assert [steps(found)[then] for then in (THEN, NOW)] == [2_901_821_32, 3_141_464_53]
    assert steps(found)["currency"] == -12_834_34
    assert found.growth < found.growth_constant_currency  # the pound fell
    for language in ("en", "it"):
        assert len(found.findings(language)) == 3
        found.plot(language=language)

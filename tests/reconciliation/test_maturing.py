"""Maturing: Mack's published triangle, reserves by hand, bad tables, and what came since on the sample company."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kpitoolkit.errors import Faults
from kpitoolkit.reconciliation import mack, maturing
from tests import sample_tables

# Taylor and Ashe (1983), cumulative, as printed in Mack (1993), table 1
TAYLOR_ASHE = [
    [357848, 1124788, 1735330, 2218270, 2745596, 3319994, 3466336, 3606286, 3833515, 3901463],
    [352118, 1236139, 2170033, 3353322, 3799067, 4120063, 4647867, 4914039, 5339085],
    [290507, 1292306, 2218525, 3235179, 3985995, 4132918, 4628910, 4909315],
    [310608, 1418858, 2195047, 3757447, 4029929, 4381982, 4588268],
    [443160, 1136350, 2128333, 2897821, 3402672, 3873311],
    [396132, 1333217, 2180715, 2985752, 3691712],
    [440832, 1288463, 2419861, 3483130],
    [359480, 1421128, 2864498],
    [376686, 1363294],
    [344014],
]
# Mack (1993): reserves and standard errors by year of origin, in thousands
RESERVES = [0, 95, 470, 710, 985, 1419, 2178, 3920, 4279, 4626]
ERRORS = [0, 76, 122, 134, 261, 411, 558, 875, 971, 1363]
NOW = "2026Q3"
END = pd.Timestamp("2026-09-30")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def retail():
    return sample_tables.read("retail-it", ["orders", "returns", "ledger"])


def triangle(rows):
    return np.array([row + [np.nan] * (len(rows[0]) - len(row)) for row in rows], dtype=float)


def test_macks_published_reserve_and_standard_errors():
    found = mack.develop(triangle(TAYLOR_ASHE))
    assert round(found.total - found.latest.sum()) == 18_680_856
    assert round(found.total_standard_error) == 2_447_095
    np.testing.assert_array_equal(np.rint((found.ultimate - found.latest) / 1000), RESERVES)
    np.testing.assert_array_equal(np.rint(found.standard_error / 1000), ERRORS)
    assert found.factors[0] == pytest.approx(3.49060659) and found.sigma2[0] == pytest.approx(160_280.327, rel=1e-6)


def test_the_closed_formula_gives_the_same_errors():
    """Mack (1993), theorem 3 and its corollary, written out; the module goes age by age instead."""
    cells = triangle(TAYLOR_ASHE)
    found, size = mack.develop(cells), len(cells)
    f, s2, last = found.factors, found.sigma2, found.ultimate
    sums = [cells[: size - 1 - k, k].sum() for k in range(size - 1)]
    errors, total = [], 0.0
    for i in range(size):
        path = [cells[i, size - 1 - i]]
        for k in range(size - 1 - i, size - 1):
            path.append(path[-1] * f[k])
        terms = range(size - 1 - i, size - 1)
        shared = sum(s2[k] / f[k] ** 2 / sums[k] for k in terms)
        own = sum(s2[k] / f[k] ** 2 / path[n] for n, k in enumerate(terms))
        errors.append(last[i] ** 2 * (own + shared))
        total += errors[-1] + last[i] * last[i + 1 :].sum() * 2 * shared
    np.testing.assert_allclose(found.standard_error**2, errors, rtol=1e-9)
    assert found.total_standard_error**2 == pytest.approx(total, rel=1e-9)


def test_a_total_of_some_origins_leaves_the_others_out():
    cells = triangle(TAYLOR_ASHE)
    one = np.arange(10) == 9
    found = mack.develop(cells, one)
    whole = mack.develop(cells)
    assert found.total == pytest.approx(whole.ultimate[9])
    assert found.total_standard_error == pytest.approx(whole.standard_error[9])
    two = mack.develop(cells, np.arange(10) >= 8)
    apart = np.hypot(*whole.standard_error[8:])
    assert two.total_standard_error > apart  # the factors are shared


def test_empty_origins_and_ages_without_change_add_nothing():
    cells = np.array([[100.0, 90.0, 90.0], [0.0, 0.0, np.nan], [50.0, np.nan, np.nan]])
    found = mack.develop(cells)
    assert found.ultimate.tolist() == [90.0, 0.0, 45.0]
    assert np.isfinite(found.standard_error).all() and found.standard_error[1] == 0


# a shop by hand: 1,000.00 a week; 80.00 or 120.00 in turn come back a week later, 50.00 after three weeks


def shop(weeks=60, late=50_00):
    days = [END - pd.Timedelta(days=7 * back + 6) for back in range(weeks)][::-1]
    ids = [f"o{n:03d}" for n in range(weeks)]
    orders = pd.DataFrame({"order_id": ids, "time": days, "currency": "EUR", "status": "paid"})
    orders = orders.assign(
        gross_cents=1_300_00, vat_cents=220_00, shipping_cents=10_00, discount_cents=70_00, unit="it"
    ).astype(dict.fromkeys(["gross_cents", "vat_cents", "shipping_cents", "discount_cents"], "Int64"))
    rows = []
    for n, (name, day) in enumerate(zip(ids, days, strict=True)):
        rows.append((name, day + pd.Timedelta(days=7), 120_00 if n % 2 else 80_00))
        rows.append((name, day + pd.Timedelta(days=21), late))
    returns = pd.DataFrame(rows, columns=["order_id", "date", "amount_cents"])
    returns = returns.assign(return_id=[f"r{n}" for n in range(len(rows))], currency="EUR", unit="it")
    return {"orders": orders, "returns": returns.astype({"amount_cents": "Int64"})}


def known(given, day=END):
    return given | {"returns": given["returns"][given["returns"]["date"] <= day].reset_index(drop=True)}


def test_a_reserve_by_hand():
    found = maturing.maturing(known(shop()), NOW, "EUR").reserve
    weeks = found.weeks.set_index("age_weeks")["reserve_cents"]
    # 59 of 60 weeks saw their first return: 29 of 120.00 and 30 of 80.00; 57 their second, 50.00 of what was kept
    kept = 1 - (29 * 120_00 + 30 * 80_00) / (59 * 1_000_00)
    later = [1_000_00 - (120_00 if n % 2 else 80_00) for n in range(57)]
    second = 1 - 57 * 50_00 / sum(later)
    assert weeks[0] == pytest.approx(1_000_00 * (1 - kept * second), abs=1)
    open_ = [(1_000_00 - (120_00 if n % 2 else 80_00)) * (1 - second) for n in (57, 58)]
    assert weeks[1] + weeks[2] == pytest.approx(sum(open_), abs=1.5)
    assert (weeks[weeks.index > 2] == 0).all()
    assert weeks.sum() == found.cents == found.own_cents
    assert found.low_cents < found.cents < found.high_cents
    assert found.factors["returned_share"].iloc[-1] == pytest.approx(1 - kept * second)
    assert not found.tail_open


def test_what_is_later_than_the_quarter_is_not_looked_at():
    whole = maturing.maturing(shop(), NOW, "EUR").reserve
    cut = maturing.maturing(known(shop()), NOW, "EUR").reserve
    assert whole.cents == cut.cents and whole.standard_error_cents == cut.standard_error_cents
    assert maturing.maturing(shop(), "2026Q2", "EUR").reserve.cents > 0


def test_a_true_up_is_what_came_since_of_the_same_orders():
    given = known(shop())
    found = maturing.maturing(given, NOW, "EUR").table.set_index(["kind", "quarter"]).loc["true_up"].loc["2026Q2"]
    end = pd.Timestamp("2026-06-30")
    both = given["returns"].merge(given["orders"], on="order_id")
    came = both[(both["time"] <= end) & (both["date"] > end)]["amount_cents"].sum()
    assert found["came_cents"] == came > 0
    assert found["error_cents"] == came + found["still_open_cents"] - found["estimate_cents"]
    assert found["inside"] == (found["low_cents"] <= came <= found["high_cents"])
    then = maturing.maturing(given, "2026Q2", "EUR").reserve
    assert then.cents == found["estimate_cents"]


def test_goods_that_come_back_at_the_oldest_ages_leave_the_tail_open():
    given = shop(30)
    slow = given["orders"][["order_id", "time"]].iloc[:1]
    more = pd.DataFrame({"order_id": slow["order_id"], "date": END - pd.Timedelta(days=3), "amount_cents": 300_00})
    given["returns"] = pd.concat([given["returns"], more.assign(return_id="x", currency="EUR", unit="it")])
    found = maturing.maturing(given, NOW, "EUR")
    assert found.reserve.tail_open
    assert any("lower bound" in sentence for sentence in found.findings("en"))


@pytest.mark.parametrize("language", ["en", "it"])
@pytest.mark.parametrize(("factor", "sign"), [(1.0, 0), (1.6, 1), (0.5, -1)])
def test_a_shift_of_what_comes_back_is_said(factor, sign, language):
    given = known(shop())
    late = given["returns"]["date"] > END - pd.Timedelta(days=91)
    cents = given["returns"]["amount_cents"].astype(float).where(~late, given["returns"]["amount_cents"] * factor)
    given["returns"] = given["returns"].assign(amount_cents=cents.round().astype("Int64"))
    found = maturing.maturing(given, NOW, "EUR")
    assert found.reserve.shifted == {0: "", 1: "more", -1: "less"}[sign]
    assert np.sign(round(found.reserve.shift, 1)) == sign and abs(found.reserve.shift - (factor - 1)) < 0.08
    said = [sentence for sentence in found.findings(language) if "13" in sentence]
    assert len(said) == abs(sign)


@pytest.mark.parametrize("language", ["en", "it"])
def test_goods_that_come_back_later_than_before_are_said(language):
    given = known(shop())
    late = given["returns"]["date"] > END - pd.Timedelta(days=84)
    slow = given["returns"]["date"] + pd.to_timedelta(np.where(late & given["returns"].index % 2, 7, 0), unit="D")
    found = maturing.maturing(known(given | {"returns": given["returns"].assign(date=slow)}), NOW, "EUR")
    assert found.reserve.shifted == "other_ages"
    assert any("13" in sentence for sentence in found.findings(language))


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, "not_examined"),
        ({"orders": shop()["orders"]}, "not_examined"),
        (shop(20), "short_history"),
        (shop() | {"returns": shop()["returns"].head(12)}, "few_returns"),
        (shop() | {"returns": shop()["returns"].head(0)}, "few_returns"),
        (known(shop(), END - pd.Timedelta(days=45)), "returns_end_early"),
    ],
)
@pytest.mark.parametrize("language", ["en", "it"])
def test_without_data_enough_there_is_no_figure_and_it_is_said(given, status, language):
    found = maturing.maturing(given, NOW, "EUR")
    row = found.table.iloc[0]
    assert row["status"] == found.reserve.status == status and pd.isna(row["estimate_cents"])
    assert found.reserve.own_cents is None and found.findings(language)[0]
    assert found.table[found.table["kind"] == "true_up"]["came_cents"].isna().all()
    assert not any("nan" in sentence.lower().split() for sentence in found.findings(language))


@pytest.mark.parametrize(("language", "said"), [("en", "Not examined"), ("it", "Non esaminato")])
def test_where_nothing_is_examined_one_sentence_says_so_and_no_table_stands(language, said):
    found = maturing.maturing({}, NOW, "EUR")
    assert len(found.findings(language)) == 1 and found.findings(language)[0].startswith(said)
    assert found.shown().empty and len(found.table) == 3
    assert len(maturing.maturing(shop(), NOW, "EUR").shown()) >= 3


def test_returns_without_order_or_before_it_are_left_out_and_said():
    given = known(shop())
    rows = (
        given["returns"]
        .head(2)
        .assign(order_id=["unknown", "o010"], date=pd.to_datetime(["2026-09-01", "2020-01-01"]), return_id=["x", "y"])
    )
    more = given | {"returns": pd.concat([given["returns"], rows], ignore_index=True)}
    found = maturing.maturing(more, NOW, "EUR")
    assert found.left_out == {"without_order": 1, "before_order": 1}
    assert found.reserve.cents == maturing.maturing(given, NOW, "EUR").reserve.cents
    assert any("Left out" in sentence for sentence in found.findings("en"))
    cancelled = given["orders"].assign(status="cancelled")
    nothing = maturing.maturing(given | {"orders": cancelled}, NOW, "EUR")
    assert nothing.left_out["without_order"] == len(given["returns"])
    assert nothing.reserve.status in ("short_history", "few_returns")


def test_foreign_and_missing_amounts_are_refused_together():
    given = shop()
    given["orders"].loc[3, "currency"] = "USD"
    given["returns"].loc[4, "amount_cents"] = pd.NA
    with pytest.raises(Faults) as raised:
        maturing.maturing(given, NOW, "EUR")
    assert len(raised.value.faults) == 2


def test_the_order_of_rows_changes_nothing():
    given = known(shop())
    turned = {name: frame.sample(frac=1, random_state=1) for name, frame in given.items()}
    pd.testing.assert_frame_equal(
        maturing.maturing(given, NOW, "EUR").table, maturing.maturing(turned, NOW, "EUR").table
    )


def test_a_day_is_the_unit_s_own():
    given = shop()
    late = given["orders"]["time"].dt.normalize() + pd.Timedelta(hours=23)
    given["orders"] = given["orders"].assign(time=late)
    rome, _, _ = maturing.prepared(given["orders"], given["returns"], "EUR", "Europe/Rome")
    london, _, _ = maturing.prepared(given["orders"], given["returns"], "EUR")
    assert ((rome["day"] - london["day"]).dt.days == 1).all()


def test_the_provision_of_the_ledger_stands_beside_the_reserve():
    given = known(shop())
    ledger = pd.DataFrame(
        {"date": [END] * 2, "period": [NOW, "2026Q2"], "account": "4110", "amount_cents": [-12_34, 99]}
    ).astype({"amount_cents": "Int64"})
    found = maturing.maturing(given | {"ledger": ledger}, NOW, "EUR")
    row = found.provision.set_index("quarter").loc[NOW]
    ends = found.table[found.table["component"] == "returns"].set_index("quarter")["estimate_cents"]
    assert row["ledger_cents"] == -12_34
    assert row["movement_cents"] == ends["2026Q2"] - ends[NOW]
    assert any("provision" in sentence for sentence in found.findings("en"))


def test_late_conversions_are_read_from_the_quarter_close():
    close = pd.DataFrame(
        {
            "channel": ["a", "b", "a"],
            "model": ["last", "last", "first"],
            "value_forecast": [10.0, 5.5, 99.0],
            "value_low": [4.0, 2.0, 1.0],
            "value_high": [20.0, 9.0, 1.0],
        }
    )
    row = maturing.maturing({}, NOW, "EUR", quarter_close=close).table.set_index("component").loc["late_conversions"]
    assert [row[name] for name in ("estimate_cents", "low_cents", "high_cents")] == [15_50, 6_00, 29_00]
    unknown = close.assign(value_forecast=np.nan)
    row = maturing.maturing({}, NOW, "EUR", quarter_close=unknown).table.set_index("component").loc["late_conversions"]
    assert row["status"] == "no_figure" and pd.isna(row["estimate_cents"])


def test_cancellations_are_never_taken_as_zero(retail):
    row = maturing.maturing(retail, NOW, "EUR").table.set_index("component").loc["cancellations"]
    assert row["status"] == "not_examined" and pd.isna(row["estimate_cents"])


@pytest.mark.parametrize("unit", ["retail-it", "online-eu", "retail-uk"])
def test_the_sample_s_back_cast_quarters_hold_what_came(unit):
    """Over the units 11 of 12 intervals hold (nominal 10.8); the true share that comes back is constant."""
    given = sample_tables.read(unit, ["orders", "returns", "ledger"])
    found = maturing.maturing(given, NOW, "GBP" if unit == "retail-uk" else "EUR")
    rows = found.table[found.table["kind"] == "true_up"]
    assert len(rows) == 4 and rows["inside"].sum() >= 3
    error = rows["error_cents"].astype(float) / rows["estimate_cents"].astype(float)
    assert error.abs().max() < 0.2
    ordered = found.reserve.weeks["ordered_cents"].sum()
    paid = given["orders"].query("status == 'paid'")
    net = (paid["gross_cents"] - paid["vat_cents"] - paid["shipping_cents"] - paid["discount_cents"]).sum()
    assert ordered <= net and ordered > 0.98 * net  # all but the days before the first whole week


@pytest.mark.parametrize("language", ["en", "it"])
def test_a_page_can_show_it(retail, language):
    found = maturing.maturing(retail, NOW, "EUR")
    assert len(found.findings(language)) >= 5
    found.plot(language=language)
    assert "standard_error_cents" not in found.shown()

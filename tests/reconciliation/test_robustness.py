"""Decision robustness: new customers by hand, verdicts and flips under each definition, rankings, missing input."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from kpitoolkit.errors import Faults
from kpitoolkit.reconciliation.robustness import net_share, new_customers, robustness
from kpitoolkit.text import LANGUAGES

DAY = pd.Timestamp("2026-07-10")
COSTS = {"media_cost": 80_000, "marketing_accruals": 0, "agency_fees": 20_000, "rebates": -5_000}
COSTS |= {"acquisition_salaries": 60_000, "acquisition_tools": 5_000, "revenue": 1_000_000}


def the_orders():
    """New: a; b cancelled in 2026Q2 and paid now; c paid 14 months ago, d two months ago; e and f cancel."""
    rows = [
        ("o1", "a", "2026-07-10", "paid"),
        ("o2", "b", "2026-05-01", "cancelled"),
        ("o3", "b", "2026-07-11", "paid"),
        ("o4", "c", "2025-05-01", "paid"),
        ("o5", "c", "2026-07-12", "paid"),
        ("o6", "d", "2026-05-20", "paid"),
        ("o7", "d", "2026-07-13", "paid"),
        ("o8", "e", "2026-07-14", "cancelled"),
        ("o9", "f", "2026-07-15", "cancelled"),
    ]
    orders = pd.DataFrame(rows, columns=["order_id", "customer_id", "time", "status"])
    money = {"gross_cents": 12_200, "vat_cents": 2_200, "shipping_cents": 0, "discount_cents": 0}
    money |= {"supplier_share_cents": 0}
    orders = orders.assign(time=pd.to_datetime(orders["time"]), currency="EUR", **money)
    return orders.astype(dict.fromkeys(money, "Int64"))


def the_customers():
    first = {
        "a": "2026-07-10",
        "b": "2026-05-01",
        "c": "2025-05-01",
        "d": "2026-05-20",
        "e": "2026-07-14",
        "f": "2026-07-15",
    }
    return pd.DataFrame({"customer_id": list(first), "first_order_date": pd.to_datetime(list(first.values()))})


def the_claims():
    rows = [("c1", "search", "o1", 3), ("c2", "social", "o3", 10), ("c3", "search", "o7", 40), ("c4", "search", "x", 1)]
    frame = pd.DataFrame(rows, columns=["claim_id", "platform", "order_id", "days"])
    when = frame["order_id"].map(the_orders().set_index("order_id")["time"]).fillna(DAY)
    touch = when - pd.to_timedelta(frame["days"], unit="D")
    given = {"conversion_time": when, "touch_time": touch, "kind": "click", "value_cents": 12_200, "currency": "EUR"}
    return frame.drop(columns="days").assign(**given).astype({"value_cents": "Int64"})


def the_band():
    """Search leads under `last`, social under `first`; the default is markov over 30 days."""
    value = {"markov": (300.0, 200.0), "last": (400.0, 100.0), "first": (150.0, 350.0)}
    rows = [
        (channel, model, days, each / 10, each * 0.9, each * 1.1, each)
        for model, both in value.items()
        for days in (7, 30)
        for channel, each in zip(("search", "social"), both, strict=True)
    ]
    frame = pd.DataFrame(
        rows, columns=["channel", "model", "lookback_days", "conversions", "value_low", "value_high", "value"]
    )
    frame.loc[(frame["model"] == "markov") & (frame["lookback_days"] == 7), ["value", "conversions"]] *= 1.01
    return frame


def the_saved():
    cost = pd.DataFrame({"channel": ["search", "social"], "value_cents": pd.array([30_000, 20_000], "Int64")})
    return {"truth_band": the_band(), "cost": cost, "rankings": pd.DataFrame({"survives": [True, False]})}


def the_return():
    table = pd.DataFrame(
        {
            "channel": ["search", "social"],
            "spend_cents": pd.array([10_000, 10_000], "Int64"),
            "iroas": [1.0, 2.6],
            "low": [0.5, 2.1],
            "high": [1.5, 3.0],
            "source": "model_alone",
            "verdict": ["below_break_even", "above_break_even"],
        }
    )
    return SimpleNamespace(quarter="2026Q3", currency="EUR", break_even=2.0, table=table)


def the_kpis(cac=150_00.0):
    rows = [("cac", cac, -1, "money_per_unit"), ("new_customers", 2.0, 1, "count")]
    rows += [("marketing_intensity", 0.09, -1, "share")]
    frame = pd.DataFrame(rows, columns=["kpi", "target", "direction", "value_unit"])
    return frame.assign(basis="finance")


def measured(**other):
    values = COSTS | other
    kept = {name: value for name, value in values.items() if value is not None}
    return pd.DataFrame({"measure": list(kept), "quarter": "2026Q3", "value": [float(v) for v in kept.values()]})


def of(kpis=None, found=None, given=None, saved=None, three=None, claimed=None):
    tables = {"orders": the_orders(), "customers": the_customers(), "platform_claims": the_claims()}
    bridge = claimed or SimpleNamespace(amount={"gross_orders": 1000, "vat": -150, "shipping": -50, "discounts": 0}.get)
    return robustness(
        the_kpis() if kpis is None else kpis,
        measured() if found is None else found,
        tables if given is None else given,
        the_saved() if saved is None else saved,
        three or the_return(),
        bridge,
    )


def asked(found, question, subject=""):
    return found.table[(found.table["question"] == question) & (found.table["subject"] == subject)]


def test_new_customers_by_hand():
    counts = new_customers(the_orders(), the_customers(), "2026Q3")
    assert counts == {"first_paid_order": 2, "first_order_with_cancelled": 3, "no_order_in_12_months": 3}
    first = {"first_paid_order": {"a", "b"}, "first_order_with_cancelled": {"a", "e", "f"}}
    assert all(counts[rule] == len(who) for rule, who in first.items())
    later = the_orders()[lambda rows: rows["time"] > "2026-01-01"]
    assert "no_order_in_covered_months" in new_customers(later, the_customers(), "2026Q3")
    assert new_customers(the_orders(), None, "2026Q3") == {"no_order_in_12_months": 3}
    assert new_customers(None, None, "2026Q3") == {}


def test_customers_are_counted_by_the_units_own_days():
    late = the_orders().assign(time=lambda rows: rows["time"].where(rows["order_id"] != "o1", "2026-06-30 22:30"))
    assert new_customers(late, the_customers(), "2026Q3")["first_paid_order"] == 1
    assert new_customers(late, the_customers(), "2026Q3", "Europe/Rome")["first_paid_order"] == 2


def test_cac_under_nine_definitions_by_hand():
    """Two new customers and 800, 950 or 1,600 euros; three by each other rule; target 450."""
    rows = asked(of(the_kpis(cac=450_00.0)), "target_reached", "cac").set_index("definition")
    assert len(rows) == 9
    assert rows.loc["first_paid_order/media_only", "value"] == 40_000
    assert rows.loc["first_paid_order/with_fees_and_rebates", "value"] == 47_500
    assert rows.loc["first_paid_order/with_salaries_and_tools", "value"] == 80_000
    assert rows.loc["no_order_in_12_months/with_fees_and_rebates", "value"] == pytest.approx(95_000 / 3)
    assert rows.index[rows["default"]].tolist() == ["first_paid_order/with_salaries_and_tools"]
    assert rows["verdict"].eq("reached").sum() == 5 == rows["flips"].sum()
    assert not rows.loc[rows["default"], "flips"].any()


def test_a_target_that_more_should_pass_and_one_that_less_should():
    found = of()
    assert asked(found, "target_reached", "new_customers")["verdict"].tolist() == ["reached"] * 3
    shares = asked(found, "target_reached", "marketing_intensity").set_index("definition")
    assert shares["verdict"].tolist() == ["reached", "missed", "missed"] and shares["flips"].sum() == 1
    assert shares.loc["with_fees_and_rebates", "default"]


def test_break_even_of_order_value_counts_only_what_is_left_without_vat():
    found = of()
    rows = asked(found, "break_even_reached", "social").set_index("definition")
    assert rows.loc["markov/30d", "reference"] == pytest.approx(2.0 / 0.8) and rows.loc["markov/30d", "default"]
    assert rows.loc["markov/30d", "verdict"] == "below_break_even", "2.0 credited, 2.5 needed"
    assert rows.loc["first/30d", "verdict"] == "above_break_even" and rows.loc["first/30d", "flips"]
    assert rows.loc["published_return", "reference"] == 2.0 and rows.loc["published_return", "flips"]
    assert rows["default"].sum() == 1
    silent = SimpleNamespace(amount=lambda step: None)
    assert net_share(silent) == 1.0 and of(claimed=silent).table["reference"].max() == 15_000


def test_an_interval_that_holds_break_even_is_no_verdict():
    band = the_band().assign(value_low=lambda rows: rows["value"] * 0.5, value_high=lambda rows: rows["value"] * 2)
    rows = asked(of(saved=the_saved() | {"truth_band": band}), "break_even_reached", "search").set_index("definition")
    assert rows.loc["markov/30d", "verdict"] == "holds_break_even"


def test_claims_are_matched_anew_under_each_lookback():
    rows = asked(of(), "break_even_reached", "search").set_index("definition")
    assert rows.loc[["7d", "14d", "30d", "60d"], "value"].tolist() == pytest.approx([1.22, 1.22, 1.22, 2.44])
    social = asked(of(), "break_even_reached", "social").set_index("definition")
    assert social.loc[["7d", "14d"], "value"].tolist() == pytest.approx([0.0, 1.22])


def test_first_and_last_flip_where_another_rule_ranks_otherwise():
    rows = asked(of(), "first_by_roas").set_index("definition")
    assert rows.loc["markov/30d", "verdict"] == "search" and rows.loc["markov/30d", "default"]
    assert set(rows.index[rows["flips"]]) == {"first/7d", "first/30d", "published_return"}
    whole = asked(of(), "ranking_by_roas").set_index("definition")
    assert whole.loc["first/7d", ["value", "verdict"]].tolist() == [1.0, "social > search"]
    assert (whole["flips"] == (whole["value"] > 0)).all()
    cheapest = asked(of(), "first_by_cost_per_conversion").set_index("definition")
    assert cheapest.loc["first/7d", "verdict"] == "social" and cheapest.loc["last/7d", "verdict"] == "search"


def test_a_channel_that_one_family_does_not_know_is_not_ranked_but_named():
    three = the_return()
    more = pd.DataFrame([{"channel": "tv", "iroas": 9.0, "low": 8.0, "high": 10.0, "source": "model_alone"}])
    three.table = pd.concat([three.table, more.assign(verdict="above_break_even")], ignore_index=True)
    found = of(three=three)
    assert found.left_out == ("tv",) and "tv" not in set(asked(found, "first_by_roas")["verdict"])
    assert any("Not ranked" in sentence for sentence in found.findings("en"))


def test_without_attribution_the_claims_are_the_default_and_without_both_the_return():
    by_claims = of(saved={})
    assert asked(by_claims, "break_even_reached", "search").query("default")["definition"].tolist() == ["30d"]
    alone = of(saved={}, given={})
    rows = asked(alone, "break_even_reached", "search")
    assert rows["definition"].tolist() == ["published_return"] and rows["default"].all()
    assert asked(alone, "target_reached", "cac").empty


def test_without_targets_or_channels_nothing_is_asked():
    three = the_return()
    three.table = three.table.iloc[:0]
    found = of(kpis=the_kpis().assign(target=np.nan), saved={}, given={}, three=three)
    assert not len(found.table) and found.findings("en")[0].startswith("Not examined")
    assert not len(found.summary) and found.plot()


def test_a_scope_without_figures_is_left_out():
    rows = asked(of(found=measured(agency_fees=None, acquisition_tools=None)), "target_reached", "cac")
    assert rows.empty, "the catalogue's own definition has no figure"


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_told_and_drawn(language):
    found = of(the_kpis(cac=450_00.0))
    said = found.findings(language)
    assert said and all("{" not in sentence and "…" not in sentence for sentence in said)
    if language == "en":
        assert any(s.startswith("Search: ") and s.endswith("7 days (below break-even); 4 more.") for s in said)
        assert "reached under 5 of 9 definitions" in said[0]
    assert len(found.plot(language=language).get_yticklabels()) == 9
    assert len(found.plot(language=language, subject="search").get_yticklabels()) == 10
    frame, formats = found.shown(language)
    assert len(frame) == len(found.summary) == 11 and set(formats) <= set(frame)
    ranking = found.summary["question"].str.startswith("ranking").to_numpy()
    assert (frame[["lowest", "highest"]].isna().all(axis=1).to_numpy() == ranking).all()
    untargeted = of(the_kpis().assign(target=np.nan)).plot(language=language)
    assert len(untargeted.get_yticklabels()) == 10, "the first channel, where no KPI has a target"
    with pytest.raises(Faults):
        found.plot(subject="nobody")


def test_without_a_margin_no_definition_reaches_a_break_even():
    three = the_return()
    three.break_even, three.table["verdict"] = None, "loses_on_every_sale"
    found = of(three=three)
    rows = found.table[found.table["question"] == "break_even_reached"]
    assert set(rows["verdict"]) == {"loses_on_every_sale"} and rows["reference"].isna().all()
    assert any("Under every definition loses on every sale" in said for said in found.findings("en"))
    assert len(found.plot(subject="search").get_yticklabels()) == len(rows[rows["subject"] == "search"])

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kpitoolkit import regression
from kpitoolkit.errors import Faults
from kpitoolkit.regression import transforms

CHANNELS = ("search", "tv")
CONTROLS = ("price_index", "promotion_days", "holiday_days")


def company(weeks=130, seed=0, noise=30.0, iroas=(4.0, 1.0), carry_in=12):
    """Revenue of about 1000 a week, two channels of known return, AR(1) errors."""
    draw = np.random.default_rng(seed)
    rows = weeks + carry_in
    ends = pd.date_range("2026-09-27", periods=rows, freq="-7D")[::-1]
    frame = pd.DataFrame({"revenue": 800.0}, index=pd.DatetimeIndex(ends, name="week_end"))
    frame["search"] = 40 * draw.gamma(4, 0.25, rows)
    frame["tv"] = 60 * draw.gamma(2, 0.5, rows) * (np.arange(rows) // 5 % 2)
    frame["price_index"] = 100 + draw.normal(0, 2, rows)
    frame["promotion_days"] = draw.integers(0, 4, rows).astype(float)
    frame["holiday_days"] = (draw.random(rows) < 0.1).astype(float)
    for name, value, carryover, half in zip(CHANNELS, iroas, (0.2, 0.5), (1.0, 2.0), strict=True):
        response = transforms.response(frame[name], carryover, half, window=weeks)
        frame.loc[frame.index[carry_in:], "revenue"] += value * response
    error = np.zeros(rows)
    for at in range(1, rows):
        error[at] = 0.3 * error[at - 1] + draw.normal(0, noise)
    frame["revenue"] += 10 * (frame["promotion_days"] - 1.5) + error
    frame["carry_in"] = np.arange(rows) < carry_in
    return frame


@pytest.fixture(scope="module")
def inputs():
    return company()


@pytest.fixture(scope="module")
def result(inputs):
    return regression.fit(inputs, CHANNELS, CONTROLS)


def by_channel(result):
    return result.table.set_index("channel")


def test_components_add_up_to_revenue_in_every_week(inputs, result):
    summed = result.contributions.groupby("period_end")["contribution"].sum()
    assert summed.to_numpy() == pytest.approx(inputs.loc[~inputs["carry_in"], "revenue"].to_numpy(), rel=1e-12)
    assert set(result.contributions["component"]) == {"baseline", "search", "tv", "residual"}


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1e4))
def test_adding_up_holds_at_any_scale_of_money(seed, scale):
    frame = company(weeks=40, seed=seed)
    frame[["revenue", *CHANNELS]] *= scale
    found = regression.fit(frame, CHANNELS)
    summed = found.contributions.groupby("period_end")["contribution"].sum()
    assert summed.to_numpy() == pytest.approx(frame.loc[~frame["carry_in"], "revenue"].to_numpy(), rel=1e-9)
    brought = found.contributions.groupby("component")["contribution"].sum()
    table = by_channel(found)
    for name in CHANNELS:
        assert brought[name] == pytest.approx(table.loc[name, "contribution"], rel=1e-9, abs=1e-9 * scale)
        assert table.loc[name, "iroas"] * table.loc[name, "spend"] == pytest.approx(table.loc[name, "contribution"])


def test_total_is_the_sum_of_the_channels(result):
    table = by_channel(result)
    total, channels = table.loc["total_media"], table.drop(index="total_media")
    assert table.index[0] == "total_media"
    assert total["spend"] == pytest.approx(channels["spend"].sum())
    assert total["contribution"] == pytest.approx(channels["contribution"].sum())
    assert total["iroas"] == pytest.approx(total["contribution"] / total["spend"])


def test_coefficients_are_plain_generalised_least_squares(inputs, result):
    """Second way: explicit normal equations with the AR(1) filter as a matrix, at the shapes that were chosen."""
    inside = inputs[~inputs["carry_in"]]
    table, n = by_channel(result), len(inside)
    baseline = transforms.baseline_design(inside.index, "week", inside[list(CONTROLS)])
    media = [
        transforms.response(
            inputs[name],
            table.loc[name, "carryover"],
            table.loc[name, "half_saturation"] / transforms.mean_active(inside[name]),
            window=n,
        )
        for name in CHANNELS
    ]
    design = np.column_stack([baseline, *media])
    difference = np.eye(n)[1:] - result.autocorrelation * np.eye(n)[:-1]
    weight = difference.T @ difference
    expected = np.linalg.solve(design.T @ weight @ design, design.T @ weight @ inside["revenue"].to_numpy())
    assert result.coefficients["estimate"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert table.loc[list(CHANNELS), "iroas"].to_numpy() == pytest.approx(expected[-2:], rel=1e-6)


def test_truth_is_recovered_without_noise():
    found = by_channel(regression.fit(company(noise=0.01), CHANNELS, CONTROLS))
    assert found.loc[list(CHANNELS), "iroas"].to_numpy() == pytest.approx([4.0, 1.0], rel=0.02)
    assert found.loc[list(CHANNELS), "carryover"].to_numpy() == pytest.approx([0.2, 0.5])
    assert found.loc["total_media", "verdict"] == "above_break_even"  # 4 x 41 + 1 x 30 on 71 of spend: 2.7
    assert found.loc["search", "verdict"] == "above_break_even"
    assert found.loc["tv", "verdict"] == "below_break_even"


def test_interval_holds_the_truth_and_widens_with_noise(result):
    table = by_channel(result)
    loud = by_channel(regression.fit(company(noise=60.0), CHANNELS, CONTROLS))
    assert (table["low"] <= table["iroas"]).all()
    assert (table["iroas"] <= table["high"]).all()
    assert table.loc["search", "low"] <= 4.0 <= table.loc["search", "high"]
    assert table.loc["tv", "low"] <= 1.0 <= table.loc["tv", "high"]
    assert ((loud["high"] - loud["low"]) > (table["high"] - table["low"])).all()


def test_next_unit_of_spend_is_the_derivative_of_contribution(inputs, result):
    """Second way: spend a thousandth more in every week, at the fitted curve."""
    inside = inputs[~inputs["carry_in"]]
    for name in CHANNELS:
        row = by_channel(result).loc[name]
        scale = transforms.mean_active(inside[name])

        def brought(factor, name=name, row=row, scale=scale):
            pressure = transforms.adstock(inputs[name] * factor / scale, row["carryover"])[-len(inside) :]
            return row["ceiling"] * transforms.saturate(pressure, row["half_saturation"] / scale).sum()

        assert brought(1.0) == pytest.approx(row["contribution"])
        gained = (brought(1.001) - brought(0.999)) / (0.002 * row["spend"])
        assert row["mroas"] == pytest.approx(gained, rel=1e-4)
        assert row["mroas"] < row["iroas"]


def test_curves_tell_observed_from_beyond(inputs, result):
    for name, curve in result.curves.groupby("channel"):
        observed, beyond = (curve[curve["range"] == key] for key in ("observed", "beyond"))
        carryover = by_channel(result).loc[name, "carryover"]
        pressure = transforms.adstock(inputs[name], carryover)[inputs["carry_in"].sum() :]
        assert observed["spend"].max() == pytest.approx(pressure.max())
        assert beyond["spend"].min() >= observed["spend"].max()
        assert (np.diff(curve["contribution"]) >= 0).all()


def test_prediction_follows_the_curves(result):
    baseline = result.contributions.query("component == 'baseline'")["contribution"].mean()
    assert regression.predict(result, {}) == pytest.approx(baseline)
    row = result.curves[(result.curves["channel"] == "tv") & (result.curves["range"] == "beyond")].iloc[-1]
    assert regression.predict(result, {"tv": row["spend"]}) == pytest.approx(baseline + row["contribution"])


def test_prediction_refuses_strangers_and_negatives(result):
    with pytest.raises(Faults, match="Did you mean 'search'") as caught:
        regression.predict(result, {"serch": 1.0, "tv": -1.0})
    assert len(caught.value.faults) == 2


def test_periods_limit_the_window_and_the_rest_carries_in(inputs):
    short = regression.fit(inputs, CHANNELS, periods=110)
    assert short.periods == 110
    assert len(short.contributions) == 110 * 4
    assert short.table["spend"].iloc[0] == pytest.approx(inputs[list(CHANNELS)].iloc[-110:].to_numpy().sum())


def test_fewer_than_104_weeks_give_no_verdict():
    found = regression.fit(company(weeks=103, noise=0.01), CHANNELS, CONTROLS)
    assert set(found.table["verdict"]) == {"insufficient_data"}
    assert any("103 weeks: it takes 104" in sentence for sentence in found.findings("en"))


def test_fewer_weeks_than_coefficients_is_said_not_fitted():
    found = regression.fit(company(weeks=12), CHANNELS, CONTROLS)
    assert set(found.table["verdict"]) == {"insufficient_data"}
    assert found.table["iroas"].isna().all()
    said = "spend: 12 weeks for 11 coefficients. Join channels or lengthen the period."
    assert said in found.findings("en")
    assert found.contributions["contribution"].sum() == pytest.approx(company(weeks=12)["revenue"].iloc[-12:].sum())


def test_channel_never_spent_on(inputs):
    found = regression.fit(inputs.assign(radio=0.0), [*CHANNELS, "radio"], CONTROLS)
    row = by_channel(found).loc["radio"]
    assert row["verdict"] == "not_spent"
    assert row["spend"] == 0
    assert by_channel(found).loc["search", "iroas"] == pytest.approx(
        by_channel(regression.fit(inputs, CHANNELS, CONTROLS)).loc["search", "iroas"]
    )
    assert "Nothing was spent on radio in these periods." in found.findings("en")


def test_nothing_spent_at_all(inputs):
    found = regression.fit(inputs.assign(search=0.0, tv=0.0), CHANNELS, CONTROLS)
    assert set(found.table["verdict"]) == {"not_spent"}
    assert set(found.contributions["component"]) == {"baseline", "residual"}
    assert "there is no return to model" in found.findings("en")[0]


def test_constant_channel_is_left_out_and_said(inputs):
    found = regression.fit(inputs.assign(radio=50.0), [*CHANNELS, "radio"], CONTROLS)
    row = by_channel(found).loc["radio"]
    assert row["verdict"] == "insufficient_data"
    assert np.isnan(row["iroas"])
    assert any(sentence.startswith("Spend on radio never changes") for sentence in found.findings("en"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop(columns="tv"), "column 'tv' is missing"),
        (lambda f: f.drop(index=f.index[50]), "no row for 1 period"),
        (lambda f: pd.concat([f, f.iloc[[60]]]), "repeated periods"),
        (lambda f: f.assign(price_index=f["price_index"].where(f.index != f.index[70])), "'price_index' has no figure"),
        (lambda f: f.assign(tv=f["search"] * 2), "'search' and 'tv' moves exactly together"),
        (lambda f: f.assign(revenue=0.0), "revenue is never above zero"),
        (lambda f: f.assign(revenue=f["revenue"] - 1000), "revenue is below zero"),
        (lambda f: f.assign(tv=f["tv"] - 1), "spend on 'tv' is below zero"),
        (lambda f: f.reset_index(drop=True), "the index must be the last day"),
        (lambda f: f.set_axis(f.index + pd.to_timedelta(1 * (np.arange(len(f)) == 40), "D")), "no row for 1 period"),
    ],
)
def test_bad_input(inputs, change, said):
    with pytest.raises(Faults, match=said):
        regression.fit(change(inputs), CHANNELS, CONTROLS)


def test_all_faults_come_together(inputs):
    with pytest.raises(Faults) as caught:
        regression.fit(inputs.assign(tv=-1.0, revenue=np.nan), CHANNELS, CONTROLS)
    assert len(caught.value.faults) >= 2


@pytest.mark.parametrize("language", ["en", "it"])
def test_findings_lead_with_the_total_and_never_speak_of_cause(result, language):
    said = result.findings(language)
    assert said[0].startswith({"en": "Draft. ", "it": "Bozza. "}[language])
    whole = " ".join(said).lower()
    assert {"en": "modelled", "it": "modellat"}[language] in whole
    assert "caus" not in whole
    assert "{" not in whole


@pytest.mark.parametrize("weeks", [130, 12])
def test_plots_say_draft(weeks):
    import matplotlib.pyplot as plt

    found = regression.fit(company(weeks=weeks), CHANNELS, CONTROLS)
    for draw in (found.plot, found.plot_contributions, found.plot_curves, found.diagnostics.plot):
        ax = draw(language="it")
        assert any("bozza" in text.get_text().lower() for text in ax.figure.findobj(plt.Text))
        plt.close(ax.figure)

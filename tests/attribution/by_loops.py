"""Journeys and their sums once more, by loops over single rows: slow, plain, and nothing shared with the package."""

from collections import defaultdict

import numpy as np
import pandas as pd

DAY = 86_400_000_000
NAMES = ("tv", "Direct", "a > b", 'it\'s "new"', "😀 <b>", "Zürich", "email", " spaced ", "back\\slash", "100%")
CREDITED = ("first", "last", "last_non_direct", "linear", "position", "time_decay", "shapley")


def bag_of(key):
    prime = 2**31 - 1
    x = key % prime
    for _ in range(2):
        x = (x**5 + 362_436_069) % prime
    return x % 200


def company(seed, users=40, channels=6, campaigns=True, units=False, span_days=120):
    """Touchpoints and conversions with ties, duplicates, repeated orders and orders without user; ids are integers."""
    rng = np.random.default_rng(seed)
    names = [*NAMES[: min(channels, len(NAMES))], *(f"c{at}" for at in range(channels - len(NAMES)))]
    n, m = users * 6, users * 2
    start = pd.Timestamp("2026-05-25").value // 1000
    moments = start + rng.integers(0, span_days * 24, max(n // 3, 1)) * 3_600_000_000 + rng.integers(0, 10**6)
    touchpoints = pd.DataFrame(
        {
            "user_id": rng.integers(-3, users, n),
            "time": rng.choice(moments, n),
            "channel": rng.choice(names, n),
        }
    )
    if campaigns:
        touchpoints["campaign"] = rng.choice(["", "b", "a", None], n)
    conversions = pd.DataFrame(
        {
            "order_id": rng.integers(0, m * 3, m),
            "user_id": pd.array(rng.integers(0, users + 5, m), dtype="Int64"),
            "time": rng.choice(moments, m),
            "value": rng.integers(-500, 20_000, m) / 100,
        }
    )
    conversions.loc[rng.random(m) < 0.06, "user_id"] = pd.NA
    if units:
        touchpoints["unit"] = rng.choice(["it", "eu"], n)
        conversions["unit"] = rng.choice(["it", "eu"], m)
    touchpoints = pd.concat([touchpoints, touchpoints.sample(frac=0.1, random_state=seed)])
    conversions = pd.concat([conversions, conversions.sample(frac=0.1, random_state=seed)])
    for frame in (touchpoints, conversions):
        frame["time"] = pd.to_datetime(frame["time"], unit="us").astype("datetime64[us]")
    return (
        touchpoints.sample(frac=1, random_state=seed).reset_index(drop=True),
        conversions.sample(frac=1, random_state=seed + 1).reset_index(drop=True),
    )


def journeys(touchpoints, conversions, lookback_days, bounds, unit=None):
    """Return journeys as dicts (bag, state, steps, conversions, value, end), and the counts of what arrived."""
    start, end = bounds
    lookback = round(lookback_days * DAY)
    contacts, orders = rows_of(touchpoints), rows_of(conversions)
    if unit is not None:
        contacts, orders = ([row for row in rows if row["unit"] == unit] for rows in (contacts, orders))
    by_unit = unit is None and "unit" in touchpoints and "unit" in conversions
    key = (lambda row: (row["unit"], row["user_id"])) if by_unit else (lambda row: row["user_id"])

    same_order = defaultdict(list)
    for row in orders:
        same_order[row["order_id"]].append((row["time"], row["value"], row["user_id"] is None, row["user_id"], row))
    disagree, kept = 0, []
    for rows in same_order.values():
        disagree += len({row[:4] for row in rows}) > 1
        kept.append(min(rows, key=lambda row: (row[0], row[1], row[2], row[3] or 0))[4])
    arrived = {
        "touchpoints_read": len(contacts),
        "touchpoints_before_window": sum(row["time"] < start - lookback for row in contacts),
        "touchpoints_after_period": sum(row["time"] >= end for row in contacts),
        "conversions_read": len(orders),
        "conversions_repeated": len(orders) - len(kept),
        "order_ids_that_disagree": disagree,
        "conversions_before_period": sum(row["time"] < start for row in kept),
        "conversions_after_period": sum(row["time"] >= end for row in kept),
        "conversions_in_period": sum(start <= row["time"] < end for row in kept),
        "conversions_without_user": sum(start <= row["time"] < end and row["user_id"] is None for row in kept),
    }
    fates = defaultdict(int)
    of_user, closings = defaultdict(set), defaultdict(lambda: defaultdict(list))
    for row in contacts:
        if start - lookback <= row["time"] < end:
            step = (row["time"], row["channel"], row.get("campaign") or "")
            fates["repeated"] += step in of_user[key(row)]
            of_user[key(row)].add(step)
    found = []
    for row in kept:
        if start - lookback <= row["time"] < end and row["user_id"] is not None:
            closings[key(row)][row["time"]].append(row["value"])
        elif start <= row["time"] < end:
            found.append(
                {"bag": bag_of(row["order_id"]), "state": "unattributed", "steps": [], "conversions": 1}
                | {"value": row["value"], "end": row["time"]}
            )
    late = []
    for user in sorted({*of_user, *closings}, key=repr):
        bag = bag_of(user[1] if by_unit else user)
        steps, moments = sorted(of_user[user]), sorted(closings[user])
        members, rest, others = defaultdict(list), [], 0
        for step in steps:
            closing = next((moment for moment in moments if moment >= step[0]), None)
            if closing is None:
                rest.append(step)
            elif closing < start:
                fates["earlier"] += 1
                others += 1
            elif closing - step[0] > lookback:
                fates["too_old"] += 1
                others += 1
            else:
                members[closing].append(step)
        for moment in moments:
            if moment >= start:
                values, own = closings[user][moment], members[moment]
                found.append(
                    {"bag": bag, "state": "converted" if own else "unattributed", "steps": own}
                    | {"conversions": len(values), "value": sum(values), "end": moment}
                )
        if rest:
            state = "open" if rest[-1][0] >= end - lookback else "null"
            found.append({"bag": bag, "state": state, "steps": rest, "conversions": 0, "value": 0.0, "end": end})
            if any(moment >= start for moment in moments) and not any(members.values()) and not others:
                late.append(len(rest))
    arrived |= {
        "touchpoints_repeated": fates["repeated"],
        "touchpoints_closed_earlier": fates["earlier"],
        "touchpoints_outside_lookback": fates["too_old"],
        "touchpoints_in_journeys": sum(len(journey["steps"]) for journey in found),
        "touchpoints_only_after_order": sum(late),
        "users_only_after_order": len(late),
    }
    return found, arrived


def rows_of(frame):
    rows = frame.astype({"time": "datetime64[us]"}).assign(time=lambda f: f["time"].astype("int64")).to_dict("records")
    return [{name: None if pd.isna(value) else value for name, value in row.items()} for row in rows]


def players_of(found, by):
    """Return the players, sorted: channels, or pairs of channel and campaign."""
    return sorted({step[1] if by == "channel" else step[1:] for journey in found for step in journey["steps"]})


def walk(journey, players, by):
    return [players.index(step[1] if by == "channel" else step[1:]) for step in journey["steps"]]


def weights(journey):
    """Return conversions, value and nulls of a journey; a forecast, where there is one, stands in the journey."""
    nulls = journey.get("nulls", 1.0 if journey["state"] == "null" else 0.0)
    return journey["conversions"], journey["value"], nulls


def transitions(found, order, by="channel"):
    """Return {(bag, origin, target): [count, value]}."""
    players = players_of(found, by)
    base, sums = len(players) + 1, defaultdict(lambda: [0.0, 0.0])
    for journey in found:
        conversions, value, nulls = weights(journey)
        if conversions == 0 and nulls == 0:
            continue
        path = walk(journey, players, by)
        if order > 1:
            path = [player for at, player in enumerate(path) if at == 0 or path[at - 1] != player]
        state = ()
        for player in path:
            sums[journey["bag"], code(state, base), player][0] += conversions + nulls
            state = (*state, player)[-order:]
        if conversions:
            at = sums[journey["bag"], code(state, base), base - 1]
            at[0], at[1] = at[0] + conversions, at[1] + value
        if nulls:
            sums[journey["bag"], code(state, base), base][0] += nulls
    return dict(sums)


def code(state, base):
    number = 0
    for player in state:
        number = number * base + player + 1
    return number


def credits(found, half_life_days, direct, by="channel"):
    """Return {model: array (200, K, 2)}."""
    players = players_of(found, by)
    out = {model: np.zeros((200, len(players), 2)) for model in CREDITED}
    for journey in found:
        conversions, value, _ = weights(journey)
        path = walk(journey, players, by)
        if conversions == 0 or not path:
            continue
        n, steps = len(path), journey["steps"]
        others = [at for at, step in enumerate(steps) if step[1].casefold() != direct.casefold()]
        ages = [(steps[-1][0] - step[0]) / DAY for step in steps]
        decay = [2.0 ** (-age / half_life_days) for age in ages]
        shares = {
            "first": [1.0] + [0.0] * (n - 1),
            "last": [0.0] * (n - 1) + [1.0],
            "last_non_direct": [float(at == (others[-1] if others else n - 1)) for at in range(n)],
            "linear": [1 / n] * n,
            "position": [1 / n] * n if n < 3 else [0.4, *[0.2 / (n - 2)] * (n - 2), 0.4],
            "time_decay": [weight / sum(decay) for weight in decay],
            "shapley": [(path.index(player) == at) / len(set(path)) for at, player in enumerate(path)],
        }
        for model, share in shares.items():
            for at, player in enumerate(path):
                out[model][journey["bag"], player] += share[at] * np.array([conversions, value])
    return out


def coalitions(found):
    """Return {(bag, coalition): [conversions, value, nulls]}."""
    players, sums = players_of(found, "channel"), defaultdict(lambda: [0.0, 0.0, 0.0])
    for journey in found:
        figures = weights(journey)
        if figures[0] or figures[2]:
            at = sums[journey["bag"], sum(2**player for player in set(walk(journey, players, "channel")))]
            at[:] = [have + more for have, more in zip(at, figures, strict=True)]
    return dict(sums)


def table(found):
    """Return {state: (journeys, conversions, value)}."""
    out = {state: [0, 0.0, 0.0] for state in ("converted", "null", "open", "unattributed")}
    for journey in found:
        at = out[journey["state"]]
        at[:] = at[0] + 1, at[1] + journey["conversions"], at[2] + journey["value"]
    return out


def assert_same(source, found, arrived, orders=(1, 2, 3), by=("channel",), half_life_days=7.0, direct="direct"):
    """Compare a source's sums with those of the loops: counts to the last digit, shares to 1e-9."""
    expected = table(found)
    for state, journeys_, conversions, value in source.table.itertuples(index=False):
        assert [journeys_, conversions] == expected[state][:2], state
        np.testing.assert_allclose(value, expected[state][2], rtol=1e-9, atol=1e-6)
    if arrived is not None:
        assert source.arrival.set_index("item")["rows"].to_dict() == arrived
    assert list(source.channels) == players_of(found, "channel")
    assert list(source.nodes.itertuples(index=False, name=None)) == players_of(found, "campaign")
    for kind in by:
        for order in orders:
            assert_same_rows(source.transitions(order, kind), transitions(found, order, kind), 3)
        sums = source.aggregates(half_life_days, direct, kind)
        assert list(sums.players) == players_of(found, kind)
        for model, credit in credits(found, half_life_days, direct, kind).items():
            np.testing.assert_allclose(sums.credits[model], credit, rtol=1e-9, atol=1e-7, err_msg=model)
        names = [player if kind == "channel" else player[0] for player in sums.players]
        assert [source.channels[at] for at in sums.channel_of] == names
    if len(source.channels) <= 16:
        assert_same_rows(source.coalitions(), coalitions(found), 2)


def assert_same_rows(frame, expected, keys):
    assert list(frame.iloc[:, :keys].itertuples(index=False, name=None)) == sorted(expected)
    assert all(str(kind) == "int64" for kind in frame.dtypes.iloc[:keys])
    figures = np.array([expected[key] for key in sorted(expected)]).reshape(len(expected), -1)
    np.testing.assert_allclose(frame.iloc[:, keys:].to_numpy(dtype=float), figures, rtol=1e-9, atol=1e-7)

"""Random companies from a seed, and both bridges computed again in plain integers and fractions, row by row."""

import datetime as dt
import random
from collections import defaultdict
from fractions import Fraction
from zoneinfo import ZoneInfo

import pandas as pd

from kpitoolkit.parameters import ACCOUNTS

QUARTER, FIRST, LAST = "2026Q3", dt.date(2026, 7, 1), dt.date(2026, 9, 30)
MONTHS = ("2026-07", "2026-08", "2026-09")
ZONES = ("UTC", "Europe/Rome", "America/New_York")
ORDER = "order_id time gross_cents vat_cents shipping_cents discount_cents supplier_share_cents currency status"
CLAIM = "claim_id platform order_id touch_time conversion_time kind value_cents currency"
TIMES = ("time", "touch_time", "conversion_time", "recognition_date", "date")


def frame(columns: str, rows: list[tuple]) -> pd.DataFrame:
    """Return a frame in the types that `kpitoolkit.tables.read` gives."""
    names = columns.split()
    values = zip(*rows, strict=True) if rows else [[] for _ in names]
    kinds = {n: "Int64" if n.endswith("_cents") else "datetime64[us]" if n in TIMES else "string" for n in names}
    return pd.DataFrame({n: pd.Series(list(v), dtype=kinds[n]) for n, v in zip(names, values, strict=True)})


class Company:
    """The tables of one company, drawn from a seed, with an error of known size in each ledger."""

    def __init__(self, seed: int):
        self.draw = draw = random.Random(seed)
        self.zone, self.lookback = draw.choice(ZONES), draw.choice((1, 7, 30))
        self.rates = {c: Fraction(draw.randint(1, 3_000_000), 1_000_000) for c in ("USD", "GBP")}
        self.size = draw.choice((100, 10_000, 10**7, 2**50))
        self.orders = [self.order(f"o{i}") for i in range(draw.randint(0, 9))]
        self.claims = [self.claim(f"c{i}") for i in range(draw.randint(0, 14))]
        self.returns = [(f"r{i}", f"o{i}", self.day(), self.cents()) for i in range(draw.randint(0, 3))]
        self.spend = [self.spent(i) for i in range(draw.randint(0, 8))]
        self.invoices = [self.invoice(f"i{i}") for i in range(draw.randint(0, 7))]
        self.including = {"social": draw.choice((0.22, 0.2, 0.19, 0.077))} if draw.random() < 0.6 else {}
        self.errors = tuple(draw.choice((0, 0, draw.randint(-self.size, self.size))) for _ in range(2))
        self.journals = {account: self.signed() for account in ("4110", "4300", "4500", "4900")}
        self.accrual = self.signed()

    def cents(self):
        return self.draw.randint(0, self.size)

    def signed(self):
        return self.draw.randint(-self.size, self.size)

    def day(self):
        return self.draw.choice(("2026-06-30", "2026-07-01", "2026-08-15", "2026-09-30", "2026-10-01"))

    def moment(self):
        hour, minute = self.draw.choice((0, 3, 12, 22, 23)), self.draw.randint(0, 59)
        return dt.datetime.fromisoformat(self.day()) + dt.timedelta(hours=hour, minutes=minute)

    def currency(self):
        return self.draw.choice(("EUR", "EUR", "USD", "GBP"))

    def order(self, key):
        status = self.draw.choice(("paid", "paid", "paid", "cancelled"))
        parts = [self.cents() // 5 for _ in range(4)]
        recognised = None if self.draw.random() < 0.2 else dt.datetime.fromisoformat(self.day())
        return (key, self.moment(), self.cents(), *parts, "EUR", status, recognised)

    def claim(self, key):
        platform = self.draw.choice(("A", "B", "days", "report"))
        mute, when = platform in ("days", "report"), self.moment()
        if platform == "report":
            when = dt.datetime(2026, 8, 31, 12)
        named = None if mute or self.draw.random() < 0.1 else f"o{self.draw.randint(0, 10)}"
        lag = dt.timedelta(days=self.draw.choice((0, 1, 2, self.lookback, self.lookback + 1)))
        touch = None if self.draw.random() < 0.15 else when - lag
        kind = self.draw.choice(("click", "click", "click", "view"))
        return (key, platform, named, touch, when, kind, self.cents(), self.currency())

    def spent(self, place):
        return (dt.datetime.fromisoformat(self.day()), self.draw.choice(("search", "social")), f"k{place}",
                self.cents(), self.currency())  # fmt: skip

    def invoice(self, key):
        month = self.draw.choice(("2026-06", *MONTHS, "2026-10"))
        kind = self.draw.choice(("media", "fee", "rebate"))
        return (key, "search", dt.datetime.fromisoformat(self.day()), month, kind, self.signed(), self.currency())

    def inside(self, moment):
        local = moment.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(self.zone)).date()
        return FIRST <= local <= LAST

    def local(self, moment):
        return moment.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(self.zone)).date()

    def euro(self, cents, currency, less=Fraction(1)):
        return round(cents * self.rates.get(currency, Fraction(1)) / less)

    def fx(self):
        return pd.DataFrame({"quarter": QUARTER, "currency": list(self.rates), "rate": map(float, self.rates.values())})

    def revenue_tables(self):
        """Arguments of `claimed_to_booked`: claims, orders, returns, ledger, rates, ..."""
        net = self.computed_net(0) + self.errors[0]
        booked = net - sum(self.journals.values())
        lines = [("4000", booked), *self.journals.items()]
        ledger = [(f"l{i}", dt.datetime(2026, 9, 30), QUARTER, a, c, "EUR") for i, (a, c) in enumerate(lines)]
        back = [(k, o, dt.datetime.fromisoformat(d), c, "EUR") for k, o, d, c in self.returns]
        return (
            frame(CLAIM, self.claims),
            frame(ORDER + " recognition_date", self.orders),
            frame("return_id order_id date amount_cents currency", back),
            frame("line date period account amount_cents currency", ledger),
            self.fx(), ACCOUNTS, QUARTER, "EUR", self.lookback,
        )  # fmt: skip

    def spend_tables(self):
        """Arguments of `spend_to_ledger`."""
        dated = sum(self.euro(i[5], i[6]) for i in self.invoices if FIRST <= i[2].date() <= LAST)
        lines = [("6100", dated + self.errors[1]), ("6190", self.accrual)]
        ledger = [(f"l{i}", dt.datetime(2026, 9, 30), QUARTER, a, c, "EUR") for i, (a, c) in enumerate(lines)]
        known = {platform for _day, platform, *_rest in self.spend}
        return (
            frame("date platform campaign spend_cents currency", self.spend),
            frame("invoice_id platform date service_month kind net_cents currency", self.invoices),
            frame("line date period account amount_cents currency", ledger),
            self.fx(), ACCOUNTS, QUARTER, "EUR", {n: rate for n, rate in self.including.items() if n in known},
        )  # fmt: skip

    def net(self, o):
        return o[2] - o[3] - o[4] - o[5]

    def states_recognition(self):
        return not self.orders or any(o[9] is not None for o in self.orders)

    def recognised(self, o):
        return self.inside(o[1]) if o[9] is None else FIRST <= o[9].date() <= LAST

    def computed_net(self, _unused):
        """Net revenue of the quarter by recognition, or by order day where no order states its recognition."""
        when = self.recognised if self.states_recognition() else lambda o: self.inside(o[1])
        revenue = sum(self.net(o) - o[6] for o in self.orders if o[8] == "paid" and when(o))
        back = sum(c for _k, _o, day, c in self.returns if FIRST <= dt.date.fromisoformat(day) <= LAST)
        return revenue - back + sum(self.journals.values())

    def revenue_again(self):
        """Every step from claimed to booked that the company's data can show."""
        by_id, found = {o[0]: o for o in self.orders}, defaultdict(int)
        own = [c for c in self.claims if self.inside(c[4])]
        platforms = {c[1] for c in own}
        named = {p for p in platforms if any(c[2] for c in own if c[1] == p)}
        dated = {p for p in platforms - named if any(self.inner(c[4]) for c in own if c[1] == p)}
        eligible, days = defaultdict(list), defaultdict(int)
        for c in own:
            key, platform, order, touch, when, kind, cents, currency = c
            value = self.euro(cents, currency)
            found["claimed"] += cents
            found["currency"] += value - cents
            late = touch is not None and when - touch > dt.timedelta(days=self.lookback)
            if platform not in named:
                if kind == "view":
                    found["view_through"] -= value
                elif platform in dated:
                    days[self.local(when)] += value
                else:
                    found["claims_without_order_ids"] -= value
            elif order not in by_id:
                found["no_matching_order"] -= value
            elif late:
                found["outside_lookback"] -= value
            elif kind == "view":
                found["view_through"] -= value
            else:
                lag = dt.timedelta.max if touch is None else when - touch
                eligible[order].append((lag, platform, key, value))
        matched, credited = 0, set()
        for order, rivals in eligible.items():
            first, *others = sorted(rivals)
            seen = {first[1]}
            for _lag, platform, _key, value in others:
                found[f"duplicate_{'within_platform' if platform in seen else 'across_platforms'}"] -= value
                seen.add(platform)
            if self.inside(by_id[order][1]):
                credited.add(order)
                matched += by_id[order][2]
                found["value_mismatch"] += by_id[order][2] - first[3]
            else:
                found["other_period"] -= first[3]
        placed = [o for o in self.orders if self.inside(o[1])]
        room = defaultdict(int)
        for o in placed:
            room[self.local(o[1])] += 0 if o[0] in credited else o[2]
        for day, value in days.items():
            found["beyond_day_orders"] -= max(0, value - room[day])
            matched += min(value, room[day])
        gross = sum(o[2] for o in placed)
        found |= {"gross_orders": gross, "vat": -sum(o[3] for o in placed), "shipping": -sum(o[4] for o in placed)}
        found["discounts"] = -sum(o[5] for o in placed)
        found["cancellations"] = -sum(self.net(o) for o in placed if o[8] != "paid")
        if platforms and not named and not dated:
            found["claims_without_order_ids"] = gross - found["claimed"] - found["currency"] - found["view_through"]
        elif self.claims:
            found |= {"matched_gross": matched, "unclaimed": gross - matched}
        found |= {"computed_net": self.computed_net(0), "unexplained": self.errors[0]}
        return found | {"booked": self.computed_net(0) + self.errors[0]}

    def inner(self, moment):
        """Whether a moment lies on neither the first nor the last day of a month."""
        day = self.local(moment)
        return day.day != 1 and (day + dt.timedelta(days=1)).day != 1

    def spend_again(self):
        """Every step from platform spend to booked cost."""
        found, net = defaultdict(int), 0
        known = {platform for _day, platform, *_rest in self.spend}
        for day, platform, _campaign, cents, currency in self.spend:
            if FIRST <= day.date() <= LAST:
                vat = self.including.get(platform) if platform in known else None
                euro = self.euro(cents, currency)
                less = euro if vat is None else self.euro(cents, currency, 1 + Fraction(str(vat)))
                found["platform_spend"] += cents
                found["currency"] += euro - cents
                found["vat"] += less - euro
                net += less
        for _key, _platform, day, month, kind, cents, currency in self.invoices:
            euro, served, dated = self.euro(cents, currency), month in MONTHS, FIRST <= day.date() <= LAST
            if served:
                found[{"media": "billing_difference", "fee": "agency_fees", "rebate": "rebates"}[kind]] += euro
                found["invoiced_services"] += euro
            found["invoice_timing"] += euro * (dated - served)
            found["dated_invoices"] += euro * dated
        found["billing_difference"] -= net
        found["accruals"] = self.accrual
        found |= {"computed_cost": found["dated_invoices"] + self.accrual, "unexplained": self.errors[1]}
        return found | {"booked_cost": found["computed_cost"] + self.errors[1]}


def differences(found: pd.DataFrame, again: dict[str, int]) -> dict[str, tuple]:
    """Return the steps whose amount is not what was computed again; a step that was not examined shows no cents."""
    shown = {s: None if pd.isna(c) else int(c) for s, c in zip(found["step"], found["amount_cents"], strict=True)}
    steps = {s for s in again if again[s]} | {s for s, cents in shown.items() if cents and s in again}
    return {s: (shown.get(s), again[s]) for s in sorted(steps) if shown.get(s) != again[s]}

"""Zero cents: random companies through both bridges, against a computation in plain integers and fractions."""

import pytest
from claims_by_hand import assert_closes
from random_companies import Company, differences

from kpitoolkit.reconciliation.claims import claimed_to_booked
from kpitoolkit.reconciliation.spend import spend_to_ledger

COMPANIES = 30  # ten thousand are in tests/benchmarks/exactness.py
FIFTHS = 5


@pytest.mark.parametrize("part", range(FIFTHS))
def test_no_cent_is_lost_in_random_companies(part):
    for seed in range(part, COMPANIES, FIFTHS):
        company = Company(seed)
        claimed = claimed_to_booked(*company.revenue_tables(), timezone=company.zone)
        spent = spend_to_ledger(*company.spend_tables())
        assert not differences(claimed.table, company.revenue_again()), seed
        assert not differences(spent.table, company.spend_again()), seed
        for result in (claimed, spent):
            assert_closes(result.table)
            assert (result.unexplained["difference_cents"].sum() or 0) == (result.amount("unexplained") or 0), seed
            again = result.checks[result.checks["check"].str.endswith("_again")]
            assert (again["value_cents"].fillna(0) == 0).all(), seed


def test_a_cent_that_is_lost_would_be_found():
    company = Company(3)
    claims, orders, returns, ledger, *rest = company.revenue_tables()
    ledger.loc[0, "amount_cents"] += 1
    found = claimed_to_booked(claims, orders, returns, ledger, *rest, timezone=company.zone)
    assert set(differences(found.table, company.revenue_again())) >= {"booked"}

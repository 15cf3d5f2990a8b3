"""Zero cents over ten thousand random companies: both bridges against a computation in plain integers and fractions.

The companies and the second computation are those of the tests (`tests/reconciliation/random_companies.py`); company n
is drawn from seed n, so that any that fails can be looked at alone.

Run: ``python -m tests.benchmarks.exactness [--companies 10000] [--first 0] [--jobs 2] [--write FILE]``
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from kpitoolkit.reconciliation.claims import claimed_to_booked
from kpitoolkit.reconciliation.spend import spend_to_ledger
from tests.benchmarks.claims import write
from tests.reconciliation.random_companies import Company, differences

COMPANIES, PART = 10_000, 50
BEGIN, END = "<!-- exactness: begin -->", "<!-- exactness: end -->"


def examine(seeds: range) -> tuple[list[str], int, float]:
    """Return what differs in some companies, how many amounts were compared, and the CPU-seconds."""
    began, wrong, compared = time.process_time(), [], 0
    for seed in seeds:
        company = Company(seed)
        claimed = claimed_to_booked(*company.revenue_tables(), timezone=company.zone)
        spent = spend_to_ledger(*company.spend_tables())
        for name, result, again in (
            ("claims", claimed, company.revenue_again()),
            ("spend", spent, company.spend_again()),
        ):
            compared += sum(cents != 0 for cents in again.values())
            found = differences(result.table, again)
            located = int(result.unexplained["difference_cents"].sum() or 0)
            if found or located != (result.amount("unexplained") or 0):
                wrong.append(f"seed {seed}, {name}: {found}, located {located}")
    return wrong, compared, time.process_time() - began


def main(arguments: list[str]) -> int:
    """Examine all companies, print, and write where asked; 1 where a cent is lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--companies", type=int, default=COMPANIES)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", type=Path)
    stated = parser.parse_args(arguments)
    last = stated.first + stated.companies
    parts = [range(start, min(start + PART, last)) for start in range(stated.first, last, PART)]
    began = time.monotonic()
    with ProcessPoolExecutor(stated.jobs) as pool:
        found = list(pool.map(examine, parts))
    wrong = [line for lines, _n, _s in found for line in lines]
    compared, seconds = sum(n for _l, n, _s in found), sum(s for _l, _n, s in found)
    text = (
        f"- Command: `python -m tests.benchmarks.exactness --companies {stated.companies} --first {stated.first}`, "
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC.\n"
        f"- {stated.companies:,} random companies, seeds {stated.first} to {last - 1}: {compared:,} amounts other than "
        f"zero compared, {len(wrong)} bridges with a difference. {seconds:,.0f} CPU-s, "
        f"{time.monotonic() - began:,.0f} s on {stated.jobs} processes."
    )
    print(text)
    print("\n".join(wrong[:20]))
    if stated.write:
        write(stated.write, "## Exactness over random companies\n\n" + text, BEGIN, END)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

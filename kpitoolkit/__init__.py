"""Attribution, regression and CMO-CEO KPI reconciliation, per business unit and quarter."""

__version__ = "0.1.0"

"""What notebooks say of themselves: needs, order, scope and the names of their parameters."""

import json
from pathlib import Path

import pytest

from kpitoolkit.batch.plan import imports, parameter_names, read_notebooks
from kpitoolkit.errors import Faults, ToolkitError
from kpitoolkit.parameters import Parameters

OURS = Path(__file__).parents[2] / "notebooks"
GIVEN = {"case", "units", "unit_names", "units_in_data", "data_dir", "results_dir", "save_dir"}


def test_read_in_the_order_in_which_they_run():
    found = read_notebooks(Path(__file__).parent / "notebooks")
    assert list(found) == ["first", "needy", "report", "hand", "all"]
    assert found["first"].needs == (("financials",), ("orders", "ledger"))
    assert found["first"].made({"ledger", "orders"})
    assert not found["first"].made({"ledger"})
    assert found["first"].missing({"ledger"}) == "financials or orders"
    assert found["report"].made(set())
    assert "lookback_days" in found["first"].parameters


def test_faults_of_all_notebooks_together(tmp_path):
    (tmp_path / "a.ipynb").write_text("{")
    (tmp_path / "b.ipynb").write_text(json.dumps({"metadata": {}, "cells": []}))
    said = {"kpitoolkit": {"needs": [], "order": 1, "scope": "somewhere"}}
    (tmp_path / "c.ipynb").write_text(json.dumps({"metadata": said, "cells": []}))
    with pytest.raises(Faults) as caught:
        read_notebooks(tmp_path)
    assert [fault[:7] for fault in caught.value.faults] == ["a.ipynb", "b.ipynb", "c.ipynb"]
    with pytest.raises(ToolkitError, match="no notebooks"):
        read_notebooks(tmp_path / "nowhere")


def test_parameters_that_are_not_python():
    with pytest.raises(ValueError, match="not Python"):
        parameter_names({"cells": [{"metadata": {"tags": ["parameters"]}, "source": "a = "}]})


@pytest.mark.parametrize(
    "source", ["x = " + "1+" * 20_000 + "1", "x = " + "-" * 200_000 + "1", "not python", "x = '\0'", "%load_ext a"]
)
def test_a_cell_that_cannot_be_read_ahead_is_the_kernels_to_refuse(source):
    cells = [{"cell_type": "code", "source": text} for text in (source, "import pandas\nfrom a.b import c")]
    assert imports({"cells": [*cells, {"cell_type": "code"}]}) == ("pandas", "a.b", "a.b.c")


def test_each_of_our_notebooks_says_what_it_needs_and_names_no_unknown_parameter():
    for notebook in read_notebooks(OURS).values():
        unknown = set(notebook.parameters) - GIVEN - set(Parameters.model_fields)
        assert not unknown, f"{notebook.name}: {unknown}"
        wanted = {"case", "unit", "quarter", "language", "results_dir", "save_dir"}
        assert notebook.scope == "interactive" or wanted <= set(notebook.parameters), notebook.name

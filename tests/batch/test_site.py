"""What a run shows: a chart that is only named is no page."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from kpitoolkit.batch.site import refuse_undrawn
from kpitoolkit.errors import ToolkitError

NAME = {"text/plain": "<Figure size 640x480 with 1 Axes>"}
SAID = new_output("stream", text="<Figure size")


@pytest.mark.parametrize("kind", ["display_data", "execute_result"])
def test_a_chart_that_is_text_and_no_image_is_refused(tmp_path, kind):
    drawn, undrawn = (new_output(kind, {**NAME, **image}) for image in ({"image/png": "aGVsbG8="}, {}))
    for outputs, fine in (([drawn, SAID], True), ([drawn, undrawn], False)):
        cells = [new_code_cell("1"), new_code_cell("plt.show()", outputs=outputs)]
        nbformat.write(new_notebook(cells=cells), tmp_path / "out.ipynb")
        if fine:
            refuse_undrawn(tmp_path / "out.ipynb")
            continue
        with pytest.raises(ToolkitError, match=r"'<Figure size ...>' stands in its place .cell 2.") as raised:
            refuse_undrawn(tmp_path / "out.ipynb")
        assert raised.value.again, "another kernel may draw it"

"""One notebook in a kernel of the batch: its environment, awkward folders, and a kernel that dies."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from kpitoolkit.batch.execute import execute

SAID = """import os
print(value["x"], os.environ["OPENBLAS_NUM_THREADS"], os.environ.get("PYTHONSTARTUP"), os.environ["MPLBACKEND"][:6])
print(folder)"""


def written(path, *sources):
    cells = [new_code_cell("value = {}\nfolder = ''", metadata={"tags": ["parameters"]}), *map(new_code_cell, sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(metadata={"kernelspec": kernel}, cells=cells), path)
    return path


def test_values_environment_and_lasting_folders(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "none.py"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    work = tmp_path / 'it\'s {a} "pàth"'
    source, target = written(work / "in.ipynb", SAID), work / "out.ipynb"
    execute(source, target, {"value": {"x": "dà"}, "folder": str(work)}, {str(work): "/lasting"})
    cells = json.loads(target.read_text(encoding="utf-8"))["cells"]
    assert "".join(cells[2]["outputs"][0]["text"]) == "dà 1 None module\n/lasting\n"
    assert "/lasting" in "".join(cells[1]["source"])
    assert capsys.readouterr().err == ""


def test_a_notebook_knows_where_results_are_published(tmp_path):
    source = written(tmp_path / "in.ipynb", "from kpitoolkit import parameters\nprint(parameters.outputs_root())")
    execute(source, tmp_path / "out.ipynb", {}, {}, tmp_path / "published")
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf-8"))["cells"]
    assert "".join(cells[-1]["outputs"][0]["text"]).strip() == str((tmp_path / "published").resolve())


def test_a_kernel_that_dies_is_an_error_and_the_notebook_is_kept(tmp_path):
    source = written(tmp_path / "in.ipynb", "print(1)", "import os; os._exit(3)")
    with pytest.raises(Exception, match=r"ended by itself .exit code 3"):
        execute(source, tmp_path / "out.ipynb", {}, {})
    assert (tmp_path / "out.ipynb").is_file()

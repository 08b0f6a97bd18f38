"""Executes the notebooks of the documentation and keeps their outputs: ``python docs/notebooks.py [NAME ...]``."""

import json
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
NOTEBOOKS = sorted(HERE.glob("*.ipynb"))


def executed(path, folder):
    """Run a notebook from top to bottom in a folder.

    Returns
    -------
    NotebookNode
        The notebook with the outputs of this run. A cell that is to fail has the tag ``raises-exception``.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If another cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of the run
        if "outputs" in cell:  # bars that show how far a grid is are no output
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            if output.output_type == "error":  # the last line says it; the rest are paths of this machine
                output.traceback = [f"{output.ename}: {output.evalue}"]
    return notebook


def main():
    """Execute all, or those that are named, and write them again."""
    for path in [HERE / f"{name}.ipynb" for name in sys.argv[1:]] or NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, folder)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(path.name)


if __name__ == "__main__":
    main()

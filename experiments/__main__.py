"""List the commands."""

import ast
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main() -> None:
    """Print every command with the first sentence of its docstring."""
    folder = Path(__file__).parent
    modules = {path.stem: path for path in folder.glob("[a-z]*.py")}
    packages = {path.parent.name: path for path in folder.glob("[a-z]*/__init__.py") if path.parent.name != "common"}
    table = Table("python -m experiments.", "", title="Commands; --help shows the options of each")
    for name, path in sorted((modules | packages).items()):
        table.add_row(name, (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0])
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


if __name__ == "__main__":
    main()

"""List the commands: for each its time with default options, and the first sentence of its docstring."""

import ast
import re
import sys
from pathlib import Path


def main() -> None:
    """Print one line for each command, without importing any."""
    if sys.argv[1:]:
        print(f"error: to run a command, use python -m experiments.{sys.argv[1].lstrip('-')}", file=sys.stderr)
        sys.exit(2)
    folder = Path(__file__).parent
    files = {path.stem: path for path in folder.glob("[a-z]*.py")}
    packages = {path.parent.name: path for path in folder.glob("[a-z]*/__init__.py") if path.parent.name != "common"}
    print("Run a command with: python -m experiments.NAME; add --help for its options.")
    print("Times are for default options on two CPU cores.\n")
    for name, path in sorted((files | packages).items()):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        time = re.search(r"Takes ([\d.]+ \w+)", text)
        print(f"  {name:17} {time.group(1) if time else '':>7}  {text.splitlines()[0]}")


if __name__ == "__main__":
    main()

"""What ``hwgen`` and ``python -m hwgen`` start."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C is quiet from the beginning, while the command line itself is imported."""
    try:
        from hwgen.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()

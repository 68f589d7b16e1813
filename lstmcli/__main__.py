"""`python -m lstmcli` is `lstmcli`."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command line; an interruption while it is still being loaded is quiet, too."""
    try:
        from lstmcli.cli.app import main
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    main()


if __name__ == "__main__":
    run()

"""`python -m lstmcli` is `lstmcli`."""

from __future__ import annotations

from lstmcli.cli.app import main

if __name__ == "__main__":
    main()

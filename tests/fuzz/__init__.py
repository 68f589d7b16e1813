"""Hostile and damaged input: thousands of mutated files, kills, two processes, full disks.

`pytest` runs a short part with fixed seeds. By hand, from the root of the repository:

    python -m tests.fuzz --inputs 10000
    python -m tests.fuzz.kills --kills 50
    python -m tests.fuzz.pairs --pairs 20
    python -m tests.fuzz.full_disk
"""

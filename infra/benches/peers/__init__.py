"""What Catseye is measured against: the same work written as a user of each engine would write it.

A peer is a command: `--bootstrap --input --output --state --group --mode copy|count`, ended by SIGTERM.
"""

"""The customer mart's figures with pandas that reads no column it doesn't need.

Belongs here: the one difference from mart_pandas.py.
"""

from __future__ import annotations

from bench.peers import arguments
from bench.peers.mart_pandas import build

if __name__ == "__main__":
    build(*arguments(__doc__), narrow=True)

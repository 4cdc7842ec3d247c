"""What a DuckDB shell does beside a writer: asks views and macros over and over, until ended.

Usage: python shell.py ROOT. It never opens the lake otherwise, so the live catalog is attached. A
line for each answer: the number of candles and the newest close of each instrument.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lake.warehouse import Warehouse

VIEW = "select count(*) as n, max(close) as last from ohlcv_1m group by instrument order by all"
MACRO = "select count(*) as n, max(close) as last from ohlcv('BTCUSDT.BINANCE', '1m')"


def main(root: Path) -> None:
    with Warehouse(root) as warehouse:
        while True:
            answer = [*warehouse.query(VIEW).rows(), *warehouse.query(MACRO).rows()]
            print(*(f"{n}:{last:.0f}" for n, last in answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What the columns of our views mean, in one list: a name has one meaning everywhere.

DuckDB shows these in ``duckdb_columns()``, ``duckdb_views()`` and ``duckdb_functions()``, and so
does every tool on top of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import duckdb

from lake.sql_files import SqlFile, sql_files
from lake.warehouse.catalog import quoted

_NOT_SAID = "; null where the venue does not say"

MEANINGS: dict[str, str] = {
    "venue": "where it trades, upper case: BINANCE, BINANCEUSDM, KRAKEN",
    "instrument": "the lake's code of what trades: BTCUSDT, BTCUSDT-PERP",
    "timeframe": "length of a candle: 1m, 1h, 1d, 1w, 1mo; null where there is none",
    "data_type": "ohlcv, trades, orderbook or funding_rates",
    "ts": "when it happened at the venue, UTC; of a candle when it opens",
    "close_ts": "the first moment at which the candle is known, UTC: joins on it do not look ahead",
    "open": "first price, in quote",
    "high": "highest price, in quote",
    "low": "lowest price, in quote",
    "close": "last price, in quote",
    "volume": "amount traded, in base",
    "quote_volume": f"amount traded, in quote{_NOT_SAID}",
    "trade_count": f"how many trades{_NOT_SAID}",
    "taker_buy_volume": f"what takers bought, in base{_NOT_SAID}",
    "taker_buy_quote_volume": f"what takers bought, in quote{_NOT_SAID}",
    "trade_id": "the venue's id where it is a whole number",
    "trade_ref": "the venue's id where it is none, or a derived one",
    "price": "in quote",
    "quantity": "in base",
    "side": "the taker's: buy or sell; null where the source does not say",
    "first_trade_id": "of an aggregate: its first trade",
    "last_trade_id": "of an aggregate: its last trade",
    "received_at": "when it reached us, UTC; only where it was recorded live",
    "sequence": "the venue's number of this state of the book",
    "best_bid": "highest price that is bid, in quote; null where there is none",
    "best_bid_quantity": "what stands there, in base",
    "best_ask": "lowest price that is asked, in quote; null where there is none",
    "best_ask_quantity": "what stands there, in base",
    "bid_prices": "prices that are bid, best first, in quote",
    "bid_quantities": "what stands at each of them, in base",
    "ask_prices": "prices that are asked, best first, in quote",
    "ask_quantities": "what stands at each of them, in base",
    "settled_at": "the settlement's moment as the venue gave it, UTC",
    "funding_rate": "a fraction of the position's value an interval; above 0 longs pay shorts",
    "interval_hours": "hours from the settlement before",
    "predicted_rate": f"what the venue expected the rate to be{_NOT_SAID}",
    "next_funding_time": f"the settlement after this one, UTC{_NOT_SAID}",
    "mark_price": f"the price that funding is reckoned with, in quote{_NOT_SAID}",
    "index_price": f"the index at that moment, in quote{_NOT_SAID}",
    "path": "the Parquet file, below parquet/",
    "start_time": "first moment of the range, UTC",
    "end_time": "first moment behind the range, UTC (ranges are half-open)",
    "rows": "how many rows are held, or of a job: were stored",
    "min_ts": "ts of the first row",
    "max_ts": "ts of the last row",
    "missing": "candles missing between the first and the last of this file",
    "bytes": "size of the files",
    "sha256": "of the whole file as it was committed",
    "schema_version": "of the columns that the file has",
    "generation": "how often the file was written",
    "job_id": "the job that wrote it, or is it",
    "written_at": "when it was committed, UTC",
    "kind": "of an instrument: spot, linear, inverse, option; of a job: backfill, import and so on",
    "status": "pending, running, completed, failed or cancelled",
    "progress": "from 0 to 1",
    "attempts": "how often it was started",
    "error": "why it failed last",
    "cancel_requested": "whether somebody wishes it to stop",
    "created_at": "when it was asked for, UTC",
    "started_at": "when it was started last, UTC",
    "finished_at": "when it ended, UTC",
    "basis": "answer (a confirmed one), archive (a vendor's intact file), rows_only (no promise)",
    "source": "who answered",
    "source_rank": "a row replaces one whose source ranks no higher",
    "evidence": "how it is known",
    "confirmed_at": "when it was confirmed, UTC",
    "symbol": "ccxt's name: BTC/USDT:USDT",
    "native_id": "the venue's own name",
    "base": "the asset that is traded",
    "quote": "the asset that prices are in",
    "settle": "the asset that a derivative is settled in; null for spot",
    "tick_size": "least step of a price",
    "lot_size": "least step of a quantity",
    "contract_size": "what one contract stands for: base, or quote where it is inverse",
    "active": "whether the venue lists it now",
    "updated_at": "when the venue last said so, UTC",
    "listed_from": "since when it trades, UTC; null: not known",
    "listed_to": "until when it traded, UTC; null: it still does, or not known",
    "gap_start": "open of the first missing candle, UTC",
    "gap_end": "open of the first candle behind the gap, UTC",
    "missing_count": "how many candles are missing",
    "reason": (
        "why: not_fetched, failed, provisional, venue_has_none, venue_outage, no_trades, "
        "before_listing, after_delisting, beyond_source, lost_by_source, in_quarantine, expired"
    ),
    "instruments": "which instruments, by their codes",
    "timeframes": "which timeframes",
    "first_ts": "ts of the first row held",
    "last_ts": "ts of the last row held",
    "gap_count": "in how many runs they are missing",
    "expected_count": "rows held and rows missing",
    "rejected_count": "rows that were refused and lie in quarantine",
    "duplicate_count": "rows too many, as the newest check found; null where none was run",
    "age": "how long ago the newest row ended",
    "files": "how many Parquet files",
    "completeness_ratio": "rows held of rows expected; null where nobody can say",
}


def on_views(connection: duckdb.DuckDBPyConnection, names: Collection[str]) -> list[str]:
    """Statements that comment the views of *names* and their columns."""
    rows = connection.execute(
        "select table_name, column_name from duckdb_columns() "
        "where database_name = 'memory' and not internal and list_contains($1, table_name) "
        "order by table_name, column_index",
        [list(names)],
    ).fetchall()
    returns = {file.name: file.header["returns"] for file in sql_files("views")}
    statements = []
    for view in dict.fromkeys(view for view, _ in rows):
        text = returns.get(view, returns["ohlcv_timeframe"])
        statements.append(f"comment on view {view} is {quoted(text)}")
    for view, column in rows:
        if column in MEANINGS:
            statements.append(f'comment on column {view}."{column}" is {quoted(MEANINGS[column])}')
    return statements


def on_macros() -> Iterator[str]:
    """Statements that comment the table macros for people."""
    macros = [file for file in sql_files("macros") if not file.header["macro"].startswith("lake_")]
    for file in (*macros, *sql_files("analytics")):
        name = file.header.get("macro") or file.header["analytics"]
        yield f"comment on macro table {name} is {quoted(_meaning(file))}"


def _meaning(file: SqlFile) -> str:
    return f"{file.header['returns']} Parameters: {file.header['parameters']}"

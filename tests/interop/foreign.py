"""Reads one partition with a library of another environment; prints what it saw as JSON.

``test_foreign_readers`` runs it with the interpreter of that environment: a reader and a path.
It imports nothing of ours: any Parquet reader sees plain prices.
"""

from __future__ import annotations

import json
import sys


def pandas(path: str) -> list[list[object]]:
    import pandas

    frame = pandas.read_parquet(path)
    return [
        [moment.isoformat(), close, volume]
        for moment, close, volume in zip(frame["ts"], frame["close"], frame["volume"], strict=True)
    ]


def pyarrow(path: str) -> list[list[object]]:
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(path).to_table(columns=["ts", "close", "volume"])
    return [[row["ts"].isoformat(), row["close"], row["volume"]] for row in table.to_pylist()]


def polars(path: str) -> list[list[object]]:
    import polars

    frame = polars.read_parquet(path, columns=["ts", "close", "volume"])
    return [[ts.isoformat(), close, volume] for ts, close, volume in frame.iter_rows()]


def duckdb(path: str) -> list[list[object]]:
    import duckdb

    rows = duckdb.execute(
        "select ts, close, volume from read_parquet($path) order by ts", {"path": path}
    ).fetchall()
    return [[ts.isoformat(), close, volume] for ts, close, volume in rows]


def spark(path: str) -> list[list[object]]:
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    try:
        rows = session.read.parquet(path).select("ts", "close", "volume").orderBy("ts").collect()
        return [[row.ts.isoformat(), row.close, row.volume] for row in rows]
    finally:
        session.stop()


READERS = {each.__name__: each for each in (pandas, pyarrow, polars, duckdb, spark)}


def version(name: str) -> str:
    from importlib.metadata import version

    return version({"spark": "pyspark"}.get(name, name))


if __name__ == "__main__":
    reader, path = sys.argv[1:]
    print(json.dumps({"version": version(reader), "rows": READERS[reader](path)}))

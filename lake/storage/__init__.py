"""The only room that writes: Parquet partitions and the SQLite catalog."""

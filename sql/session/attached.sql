-- session: attached
-- version: 2
-- dialect: duckdb
-- reads: the attached catalog
-- makes: lake.files: one row a Parquet file, from one state of the catalog
-- why: DuckDB scans an attached SQLite table by rowid, up to a highest one that it looked up
--      before and through other connections, so a row that a writer replaces meanwhile is missed
--      (measured: 1 scan in 100 at 60 commits a second). sqlite_query is one statement on one
--      connection. It also reads only these columns, and gives everything as text
create or replace view lake.files as
select
    data_type,
    venue,
    instrument,
    timeframe,
    path,
    schema_version::integer as schema_version
from sqlite_query(
    'catalog',
    'select series.data_type, series.venue, series.instrument, series.timeframe, partitions.path,
        partitions.schema_version
    from partitions inner join series on partitions.series_id = series.series_id'
);

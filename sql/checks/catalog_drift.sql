-- check: catalog_drift
-- version: 1
-- severity: error
-- reads: catalog
-- reach: lake
-- parameters: none
-- returns: one row a file that the catalog names and that is not there, that is there and that the
--      catalog does not name, or that is of another size; a file that is only waiting to be unlinked
--      or belongs to a commit under way is information
-- blind to: what is in the files: their rows (see catalog_drift_rows) and their digests (`lake doctor
--      --deep`)
-- why: a file that is gone breaks every question that touches it, and one that nobody knows is read by
--      whoever reads the folder and by nobody who asks the lake
with disk as (
    select
        substr(
            filename,
            length(regexp_replace(getvariable('lake_root'), '\[(.)\]', '\1', 'g')) + 2
        ) as path,
        size as bytes
    from read_blob(concat(getvariable('lake_root'), '/**/*.parquet'))
),

waiting as (
    select distinct regexp_replace(path, '^parquet/', '') as path
    from lake.removals
),

under_way as (
    select distinct regexp_replace(path, '^parquet/', '') as path
    from lake.intents
),

named as (
    select
        disk.path,
        disk.bytes,
        regexp_extract(disk.path, '^(\w+)/', 1) as data_type,
        url_decode(regexp_extract(disk.path, '/venue=([^/]*)/', 1)) as venue,
        url_decode(regexp_extract(disk.path, '/instrument=([^/]*)/', 1)) as instrument,
        nullif(url_decode(regexp_extract(disk.path, '/timeframe=([^/]*)/', 1)), '') as timeframe
    from disk
),

unknown as (
    select
        named.data_type,
        named.venue,
        named.instrument,
        named.timeframe,
        null::timestamp as start_ts,
        null::timestamp as end_ts,
        null::bigint as rows,
        concat(
            named.path, ' is not in the catalog',
            case
                when waiting.path is not null then ' any more, and waits to be unlinked'
                when under_way.path is not null then ' yet: a commit is under way'
                else ': `lake doctor --repair` takes it in or moves it away'
            end
        ) as detail,
        if(waiting.path is null and under_way.path is null, 'error', 'info') as severity
    from named
    left join lake.partitions as partitions on named.path = partitions.path
    left join waiting on named.path = waiting.path
    left join under_way on named.path = under_way.path
    left join checked_series as series
        on named.data_type = series.data_type
        and named.venue = series.venue
        and named.instrument = series.instrument
        and named.timeframe is not distinct from series.timeframe
    where partitions.path is null
        and (getvariable('check_series') is null or series.series_id is not null)
),

differing as (
    select
        partitions.data_type,
        partitions.venue,
        partitions.instrument,
        partitions.timeframe,
        partitions.range_start as start_ts,
        partitions.range_end as end_ts,
        partitions.rows,
        if(
            disk.path is null,
            concat(partitions.path, ' is in the catalog and not on the disk'),
            concat(
                partitions.path, ' has ', disk.bytes, ' bytes, and the catalog says ',
                partitions.bytes
            )
        ) as detail,
        if(under_way.path is null, 'error', 'info') as severity
    from checked_partitions as partitions
    left join disk on partitions.path = disk.path
    left join under_way on partitions.path = under_way.path
    where disk.path is null
        or disk.bytes <> partitions.bytes
),

violations as (
    from unknown
    union all by name
    from differing
)

select data_type, venue, instrument, timeframe, start_ts, end_ts, rows, detail, severity
from violations
order by venue, instrument, timeframe, start_ts, detail;

-- check: archive_against_rest
-- version: 1
-- severity: info
-- reads: catalog
-- reach: series
-- parameters: none
-- returns: one row a run of neighbouring rows (of candles; of other types, a day) of which two
--      sources said different things: an archive and the venue's answers, or one of them at two
--      times. The rows that gave way are in the catalog's revisions, what was not believed in notes
-- blind to: what only one source was asked for; columns of rows that went by the thousand, which
--      are in files of their own, are one row here
-- why: where two sources disagree one of them is wrong, and nobody knows which until somebody looks.
--      The lake believes the one that ranks higher, so it is no fault of the lake
with told as (
    select
        notes.series_id,
        notes.ts,
        'kept' as what,
        notes.text as said,
        1 as rows,
        notes.ts as last_ts
    from lake.notes as notes
    where notes.kind = 'differs'

    union all

    select
        revisions.series_id,
        revisions.ts,
        'replaced' as what,
        revisions.why as said,
        1 as rows,
        revisions.ts as last_ts
    from lake.revisions as revisions
    where revisions.pending = 0

    union all

    select
        files.series_id,
        files.min_ts as ts,
        'replaced' as what,
        files.why as said,
        files.rows,
        files.max_ts as last_ts
    from lake.revision_files as files
    where files.pending = 0
        and files.min_ts is not null
),

placed as (
    select
        series.data_type,
        series.venue,
        series.instrument,
        series.timeframe,
        told.ts,
        told.last_ts,
        told.what,
        told.said,
        told.rows,
        if(
            series.data_type = 'ohlcv',
            lake_slot(
                told.ts,
                lake_step(series.timeframe),
                lake_anchor(series.timeframe, series.venue)
            ),
            told.ts // 86400000000
        ) as slot
    from told
    inner join checked_series as series on told.series_id = series.series_id
    where told.last_ts >= epoch_us(coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01'))
        and told.ts < epoch_us(coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01'))
),

runs as (
    select
        *,
        slot - dense_rank() over (
            partition by data_type, venue, instrument, timeframe, what
            order by slot
        ) as run
    from placed
)

select
    data_type,
    venue,
    instrument,
    timeframe,
    make_timestamp(min(ts)) as start_ts,
    make_timestamp(max(last_ts)) + coalesce(lake_length(timeframe), interval 1 microsecond) as end_ts,
    if(max(rows) > 1, sum(rows), count(distinct ts))::bigint as rows,
    concat(
        if(what = 'kept', 'another source was not believed: ', 'other values gave way: '),
        arg_min(said, ts)
    ) as detail
from runs
group by data_type, venue, instrument, timeframe, what, run
order by data_type, venue, instrument, timeframe, start_ts, what;

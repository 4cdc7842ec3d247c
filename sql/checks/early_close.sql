-- check: early_close
-- version: 1
-- severity: info
-- reads: catalog
-- reach: series
-- parameters: none
-- returns: one row a candle that its source says closed before its time, up to the end of the stop
--      that follows it
-- blind to: sources that do not say when a candle closed
-- why: it dates a stop of the venue to the millisecond
with notes as (
    select
        series.venue,
        series.instrument,
        series.timeframe,
        series.series_id,
        notes.ts as open_us,
        lake_slot(
            notes.ts,
            lake_step(series.timeframe),
            lake_anchor(series.timeframe, series.venue)
        ) as slot,
        notes.text
    from lake.notes as notes
    inner join checked_series as series on notes.series_id = series.series_id
    where notes.kind = 'early_close'
        and series.data_type = 'ohlcv'
        and notes.ts >= epoch_us(coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01'))
        and notes.ts < epoch_us(coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01'))
),

stops as (
    select
        series_id,
        make_timestamp(run[1]) as stop_start,
        make_timestamp(run[2]) as stop_end
    from (
        select series_id, unnest(gap_runs) as run
        from checked_partitions
        where data_type = 'ohlcv'
    )
),

told as (
    select
        notes.*,
        make_timestamp(open_us) as start_ts,
        lake_slot_open(slot + 1, lake_step(timeframe), lake_anchor(timeframe, venue)) as close_ts
    from notes
)

select
    'ohlcv' as data_type,
    told.venue,
    told.instrument,
    told.timeframe,
    told.start_ts,
    coalesce(stops.stop_end, told.close_ts) as end_ts,
    1::bigint as rows,
    concat(
        told.text,
        ', before its time; ',
        if(
            stops.stop_end is null,
            'the next candle is held',
            concat('no candle from ', stops.stop_start, ' to ', stops.stop_end)
        )
    ) as detail
from told
left join stops
    on stops.series_id = told.series_id
    and stops.stop_start = told.close_ts
order by told.venue, told.instrument, told.timeframe, told.start_ts;

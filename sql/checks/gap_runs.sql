-- check: gap_runs
-- version: 1
-- severity: error
-- reads: ohlcv
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a file of candles of which the catalog tells something else than its rows: how
--      many there are, the first, the last, or the runs of missing ones between them
-- blind to: gaps between files and at the ends, which the catalog does not store; see candle_gaps
--      and edges. Of a file with candles twice or out of order only that its runs differ; see
--      duplicates and misplaced
-- why: every answer about gaps rests on the runs that were stored when a file was committed
with told as (
    select
        *,
        regexp_extract(path, '/year=(\d+)/', 1)::smallint as year,
        regexp_extract(path, '/month=(\d+)/', 1)::tinyint as month
    from checked_partitions
    where data_type = 'ohlcv'
        and rows > 0
        and max_ts >= coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01')
        and min_ts < coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01')
),

-- Within an unbroken run every candle lies as many steps behind the first of its file as rows do.
unbroken as (
    select
        file_number,
        count(*) as rows,
        min(ts) as first_ts,
        max(ts) as last_ts
    from checked_positions
    group by
        file_number,
        coalesce(epoch_us(ts) - place * lake_step(timeframe), slot - place)
),

placed as (
    select
        unbroken.*,
        told.venue,
        told.instrument,
        told.timeframe,
        told.year,
        told.month,
        lake_slot(
            epoch_us(unbroken.first_ts),
            lake_step(told.timeframe),
            lake_anchor(told.timeframe, told.venue)
        ) as first_slot,
        lake_slot(
            epoch_us(unbroken.last_ts),
            lake_step(told.timeframe),
            lake_anchor(told.timeframe, told.venue)
        ) as last_slot
    from unbroken
    inner join told
        on concat(getvariable('lake_root'), '/', told.path)
        = getvariable('check_files_ohlcv')[(unbroken.file_number + 1)::bigint]
),

holes as (
    select
        *,
        lag(last_slot) over (partition by file_number order by first_slot) + 1 as hole_slot
    from placed
),

found as (
    select
        any_value(venue) as venue,
        any_value(instrument) as instrument,
        any_value(timeframe) as timeframe,
        any_value(year) as year,
        any_value(month) as month,
        sum(rows)::bigint as rows,
        min(first_ts) as min_ts,
        max(last_ts) as max_ts,
        coalesce(
            list([
                epoch_us(
                    lake_slot_open(hole_slot, lake_step(timeframe), lake_anchor(timeframe, venue))
                ),
                epoch_us(first_ts)
            ] order by first_slot) filter (hole_slot <> first_slot),
            []
        ) as gap_runs
    from holes
    group by file_number
),

differences as (
    select
        told.venue,
        told.instrument,
        told.timeframe,
        least(told.min_ts, found.min_ts) as start_ts,
        greatest(told.max_ts, found.max_ts) + lake_length(told.timeframe) as end_ts,
        coalesce(found.rows, 0) as rows,
        concat_ws(
            '; ',
            if(
                coalesce(found.rows, 0) <> told.rows,
                concat('rows: ', coalesce(found.rows, 0), ', the catalog says ', told.rows),
                null
            ),
            if(
                found.min_ts <> told.min_ts,
                concat('the first opens ', found.min_ts, ', the catalog says ', told.min_ts),
                null
            ),
            if(
                found.max_ts <> told.max_ts,
                concat('the last opens ', found.max_ts, ', the catalog says ', told.max_ts),
                null
            ),
            if(
                coalesce(found.gap_runs, []) <> told.gap_runs,
                concat(
                    'runs of missing candles: ',
                    coalesce(len(found.gap_runs), 0),
                    ', the catalog says ',
                    len(told.gap_runs),
                    ', the first difference ',
                    make_timestamp(list_min(list_transform(
                        list_concat(
                            list_filter(
                                coalesce(found.gap_runs, []),
                                lambda run: not list_contains(told.gap_runs, run)
                            ),
                            list_filter(
                                told.gap_runs,
                                lambda run: not list_contains(coalesce(found.gap_runs, []), run)
                            )
                        ),
                        lambda run: run[1]
                    )))
                ),
                null
            )
        ) as detail
    from told
    left join found
        on found.venue = told.venue
        and found.instrument = told.instrument
        and found.timeframe = told.timeframe
        and found.year = told.year
        and found.month = told.month
)

select
    'ohlcv' as data_type,
    venue,
    instrument,
    timeframe,
    start_ts,
    end_ts,
    rows,
    detail
from differences
where detail <> ''
order by venue, instrument, timeframe, start_ts;

-- check: misplaced
-- version: 1
-- severity: error
-- reads: ohlcv, trades, orderbook, funding_rates
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a run of neighbouring rows whose ts lies outside of the year, month or day that
--      the path of their file names, or that stand behind a later one in their file
-- blind to: rows of one ts in another order than their keys'
-- why: a question for January opens the files of January, and takes their order for granted
with unbroken as (
    select
        file_number,
        any_value(venue) as venue,
        any_value(instrument) as instrument,
        any_value(timeframe) as timeframe,
        min(place) as first_place,
        count(*) as rows,
        min(ts) as first_ts,
        max(ts) as last_ts
    from checked_positions
    group by file_number, slot - place
),

unordered_candles as (
    select
        *
    from (
        select
            *,
            max(last_ts) over (
                partition by file_number
                order by first_place
                rows between unbounded preceding and 1 preceding
            ) as reached
        from unbroken
    )
    where first_ts < reached
),

stray_candles as (
    select
        *,
        place - row_number() over (partition by file_number order by place) as run
    from (
        select file_number, place, ts, venue, instrument, timeframe, year, month
        from checked_positions
        where year(ts) <> year
            or (month <> 0 and month(ts) <> month)
    )
),

-- A window without an order goes by the order of the files; a pair that is none is left out, so
-- another order could hide something and never make it up. Sorting would take fifty times as long.
followed as (
    select
        *,
        lag(ts) over () as earlier_ts,
        lag(file) over () as earlier_file,
        lag(place) over () as earlier_place
    from checked_places
),

wrong as (
    select
        *,
        ts < make_date(year, coalesce(month, 1), coalesce(day, 1))
        or ts >= make_date(year, coalesce(month, 1), coalesce(day, 1))
            + if(month is null, interval 1 year, interval 1 day) as is_stray
    from followed
    where ts < make_date(year, coalesce(month, 1), coalesce(day, 1))
        or ts >= make_date(year, coalesce(month, 1), coalesce(day, 1))
            + if(month is null, interval 1 year, interval 1 day)
        or (ts < earlier_ts and file = earlier_file and place = earlier_place + 1)
),

wrong_runs as (
    select
        *,
        place - row_number() over (partition by file, is_stray order by place) as run
    from wrong
),

found as (
    select
        'ohlcv' as data_type,
        venue,
        instrument,
        timeframe,
        first_ts as start_ts,
        last_ts + lake_length(timeframe) as end_ts,
        rows::bigint as rows,
        concat('out of order: after a candle that opens ', reached) as detail
    from unordered_candles

    union all

    select
        'ohlcv' as data_type,
        venue,
        instrument,
        timeframe,
        min(ts) as start_ts,
        max(ts) + lake_length(timeframe) as end_ts,
        count(*)::bigint as rows,
        concat(
            'in the file of year=',
            year,
            if(month = 0, '', concat(' month=', month)),
            ' from its row ',
            min(place),
            ' on'
        ) as detail
    from stray_candles
    group by file_number, venue, instrument, timeframe, year, month, run

    union all

    select
        data_type,
        venue,
        instrument,
        null as timeframe,
        min(ts) as start_ts,
        max(ts) + interval 1 microsecond as end_ts,
        count(*)::bigint as rows,
        if(
            is_stray,
            concat(
                'in the file of ',
                concat_ws(' ', concat('year=', year), 'month=' || month, 'day=' || day),
                ' from its row ',
                min(place),
                ' on'
            ),
            concat('out of order: after a row of ', max(earlier_ts))
        ) as detail
    from wrong_runs
    group by data_type, venue, instrument, file, year, month, day, is_stray, run
)

select
    data_type,
    venue,
    instrument,
    timeframe,
    start_ts,
    end_ts,
    rows,
    detail
from found
order by data_type, venue, instrument, timeframe, start_ts;

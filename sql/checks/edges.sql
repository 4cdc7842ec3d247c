-- check: edges
-- version: 1
-- severity: warning
-- reads: catalog
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row an end of a promised range (an answer of the venue, or an intact file of an
--      archive; touching ones are one) at which candles are missing. Information where no candle
--      before it is held, or after it of an instrument that is not traded any more: it may have
--      been listed or delisted then
-- blind to: what nobody promised, what lies before the listing, after the expiry, and what expired;
--      holes no longer than those which the series has all over
-- why: a hole between two candles shows in the rows, one at an end shows only against the promise
with listed as (
    select
        listings.venue,
        listings.instrument,
        min(listings.listed_from) as listed_from,
        if(bool_and(listings.listed_to is not null), max(listings.listed_to), null) as listed_to
    from lake.listings as listings
    group by listings.venue, listings.instrument
),

series as (
    select
        checked.series_id,
        checked.venue,
        checked.instrument,
        checked.timeframe,
        lake_step(checked.timeframe) as step,
        lake_anchor(checked.timeframe, checked.venue) as anchor,
        greatest(
            epoch_us(checked.retained_from),
            epoch_us(checked.first_available),
            listed.listed_from
        ) as first_us,
        least(
            listed.listed_to,
            epoch_us(
                try_strptime(regexp_extract(checked.instrument, '-(\d{6})(?:-|$)', 1), '%y%m%d')
            )
        ) as last_us,
        coalesce(instruments.active = 0, false) as is_over,
        checked.first_available is not null or listed.listed_from is not null as is_dated
    from checked_series as checked
    left join listed
        on listed.venue = checked.venue
        and listed.instrument = checked.instrument
    left join lake.instruments as instruments
        on instruments.venue = checked.venue
        and instruments.code = checked.instrument
    where checked.data_type = 'ohlcv'
),

promised as (
    select
        coverage.series_id,
        lake_slot(coverage.start_ts, series.step, series.anchor) as first_slot,
        lake_slot(coverage.end_ts, series.step, series.anchor) as end_slot
    from lake.coverage as coverage
    inner join series on series.series_id = coverage.series_id
    where coverage.basis in ('answer', 'archive')
),

islands as (
    select
        series_id,
        min(first_slot) as first_slot,
        max(end_slot) as end_slot
    from (
        select
            *,
            sum(if(first_slot <= reached, 0, 1)) over (
                partition by series_id
                order by first_slot, end_slot
            ) as island
        from (
            select
                *,
                coalesce(
                    max(end_slot) over (
                        partition by series_id
                        order by first_slot, end_slot
                        rows between unbounded preceding and 1 preceding
                    ),
                    -1
                ) as reached
            from promised
        )
    )
    group by series_id, island
),

expected as (
    select
        islands.series_id,
        greatest(
            islands.first_slot,
            coalesce(lake_slot(series.first_us, series.step, series.anchor), islands.first_slot)
        ) as first_slot,
        least(
            islands.end_slot,
            coalesce(lake_slot(series.last_us, series.step, series.anchor), islands.end_slot)
        ) as end_slot
    from islands
    inner join series on series.series_id = islands.series_id
),

stored as (
    select
        partitions.series_id,
        lake_slot(partitions.min_ts, series.step, series.anchor) as first_slot,
        lake_slot(partitions.max_ts, series.step, series.anchor) + 1 as end_slot,
        partitions.gap_runs::json::bigint[][] as gap_runs,
        series.step,
        series.anchor
    from lake.partitions as partitions
    inner join series on series.series_id = partitions.series_id
    where partitions.min_ts is not null
),

absent as (
    select
        series_id,
        lake_slot(run[1], step, anchor) as first_slot,
        lake_slot(run[2], step, anchor) as end_slot,
        true as is_preceded,
        true as is_followed
    from (select series_id, step, anchor, unnest(gap_runs) as run from stored)

    union all

    select
        series_id,
        coalesce(lag(end_slot) over earlier, -9000000000000000) as first_slot,
        first_slot as end_slot,
        lag(end_slot) over earlier is not null as is_preceded,
        true as is_followed
    from stored
    window earlier as (partition by series_id order by first_slot)

    union all

    select
        series.series_id,
        coalesce(max(stored.end_slot), -9000000000000000) as first_slot,
        9000000000000000 as end_slot,
        max(stored.end_slot) is not null as is_preceded,
        false as is_followed
    from series
    left join stored on stored.series_id = series.series_id
    group by series.series_id
),

-- Where minutes without trades have no candle, so have those at an end.
usual as (
    select
        series_id,
        if(
            count(*) < 10,
            0,
            3 * quantile_disc(end_slot - first_slot, 0.9)
        ) as slots
    from absent
    where is_preceded
        and is_followed
        and first_slot < end_slot
    group by series_id
),

missing as (
    select
        expected.series_id,
        greatest(absent.first_slot, expected.first_slot) as first_slot,
        least(absent.end_slot, expected.end_slot) as end_slot,
        case
            when absent.first_slot <= expected.first_slot and absent.end_slot >= expected.end_slot
                then 'all'
            when absent.first_slot <= expected.first_slot then 'first'
            else 'last'
        end as which,
        absent.is_preceded,
        absent.is_followed
    from expected
    inner join absent
        on absent.series_id = expected.series_id
        and absent.first_slot < absent.end_slot
        and absent.first_slot < expected.end_slot
        and absent.end_slot > expected.first_slot
        and (
            absent.first_slot <= expected.first_slot
            or absent.end_slot >= expected.end_slot
        )
    left join usual on usual.series_id = expected.series_id
    where expected.first_slot < expected.end_slot
        and least(absent.end_slot, expected.end_slot)
            - greatest(absent.first_slot, expected.first_slot) > coalesce(usual.slots, 0)
),

found as (
    select
        'ohlcv' as data_type,
        series.venue,
        series.instrument,
        series.timeframe,
        lake_slot_open(missing.first_slot, series.step, series.anchor) as start_ts,
        lake_slot_open(missing.end_slot, series.step, series.anchor) as end_ts,
        (missing.end_slot - missing.first_slot)::bigint as rows,
        concat(
            missing.end_slot - missing.first_slot,
            if(
                missing.end_slot - missing.first_slot = 1,
                ' candle is',
                ' candles are'
            ),
            ' missing: ',
            case missing.which
                when 'all' then 'none is held of a promised range'
                when 'first' then 'the promise begins earlier than the candles'
                else 'the promise ends later than the candles'
            end
        ) as detail,
        if(
            (not missing.is_preceded and not series.is_dated)
            or (not missing.is_followed and series.is_over),
            'info',
            'warning'
        ) as severity
    from missing
    inner join series on series.series_id = missing.series_id
)

select
    data_type,
    venue,
    instrument,
    timeframe,
    start_ts,
    end_ts,
    rows,
    detail,
    severity
from found
where end_ts > coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01')
    and start_ts < coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01')
order by venue, instrument, timeframe, start_ts;

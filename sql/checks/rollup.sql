-- check: rollup
-- version: 1
-- severity: error
-- reads: ohlcv
-- reach: instrument
-- repair: refetch
-- parameters: tolerance = 0.000001: by which fraction amounts may differ, for rounding
-- returns: one row a run of longer candles that are not the sum of the shortest ones held in their
--      month, where all of those are held; or that fall short of those that are. As a warning, of
--      the shorter series: the candles that are missing inside a longer one with more volume than
--      those held have: the source has lost them
-- blind to: faults that are alike in both; longer candles of which no shorter one is held, unless
--      an answer or an archive promised them
-- why: venues publish both, so the longer candle proves the shorter ones, and shows what they lack
with files as (
    select
        venue,
        instrument,
        timeframe,
        epoch_us(lake_length(timeframe)::interval + timestamp '1970-01-01') as length,
        unnest(generate_series(date_trunc('month', min_ts), max_ts, interval 1 month)) as month
    from checked_partitions
    where data_type = 'ohlcv'
        and min_ts is not null
),

shortest as (
    select
        venue,
        instrument,
        month,
        arg_min(timeframe, length) as timeframe,
        min(length) as length
    from files
    group by venue, instrument, month
    having count(distinct timeframe) > 1
),

pairs as (
    select distinct
        files.venue,
        files.instrument,
        files.timeframe as long,
        shortest.timeframe as short,
        shortest.month,
        lake_step(shortest.timeframe) as step
    from files
    inner join shortest
        on shortest.venue = files.venue
        and shortest.instrument = files.instrument
        and shortest.month = files.month
    where files.length > shortest.length
        and coalesce(lake_step(files.timeframe) % lake_step(shortest.timeframe) = 0,
            shortest.length <= 86400000000)
),

sums as (
    select
        rows.venue,
        rows.instrument,
        pairs.long,
        pairs.short,
        lake_open(rows.ts, pairs.long, rows.venue) as ts,
        count(*) as held,
        -- Quiet candles repeat the close before them, which belongs to no trade of the longer one.
        arg_min(rows.open, rows.ts) as open,
        coalesce(
            arg_min(rows.open, rows.ts) filter (rows.volume > 0),
            arg_min(rows.open, rows.ts)
        ) as traded_open,
        max(rows.high) as high,
        coalesce(max(rows.high) filter (rows.volume > 0), max(rows.high)) as traded_high,
        min(rows.low) as low,
        coalesce(min(rows.low) filter (rows.volume > 0), min(rows.low)) as traded_low,
        arg_max(rows.close, rows.ts) as close,
        sum(rows.volume) as volume,
        if(count(rows.quote_volume) = count(*), sum(rows.quote_volume), null) as quote_volume,
        if(count(rows.trade_count) = count(*), sum(rows.trade_count), null) as trade_count
    from checked_ohlcv as rows
    inner join pairs
        on pairs.venue = rows.venue
        and pairs.instrument = rows.instrument
        and pairs.short = rows.timeframe
        and pairs.month = date_trunc('month', rows.ts)
    group by all
),

longer as (
    select
        rows.*,
        pairs.short,
        pairs.step,
        (epoch_us(rows.close_ts) - epoch_us(rows.ts)) // pairs.step as expected
    from checked_ohlcv as rows
    inner join pairs
        on pairs.venue = rows.venue
        and pairs.instrument = rows.instrument
        and pairs.long = rows.timeframe
        and pairs.month = date_trunc('month', rows.ts)
    where rows.close_ts <= coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01')
),

compared as (
    select
        longer.venue,
        longer.instrument,
        longer.timeframe,
        longer.short,
        longer.step,
        longer.ts,
        longer.close_ts,
        longer.expected,
        coalesce(sums.held, 0) as held,
        longer.volume,
        coalesce(sums.volume, 0) as held_volume,
        coalesce(getvariable('tolerance')::double, 0.000001) as tolerance,
        0.00000001 * (longer.expected + 1) as rounding,
        -- The same prices are the same numbers; only a change of units would round them.
        concat_ws(
            ', ',
            case when held = expected
                    and abs(longer.open - sums.open) > longer.open * 0.000000001
                    and abs(longer.open - sums.traded_open) > longer.open * 0.000000001
                then concat('open ', longer.open, ' not ', sums.traded_open) end,
            case when longer.high < sums.traded_high * 0.999999999
                    or (held = expected and longer.high > sums.high * 1.000000001)
                then concat('high ', longer.high, ' not ', sums.traded_high) end,
            case when longer.low > sums.traded_low * 1.000000001
                    or (held = expected and longer.low < sums.low * 0.999999999)
                then concat('low ', longer.low, ' not ', sums.traded_low) end,
            case when held = expected and abs(longer.close - sums.close) > longer.close * 0.000000001
                then concat('close ', longer.close, ' not ', sums.close) end,
            case when longer.volume < sums.volume * (1 - tolerance) - rounding
                    or (held = expected and longer.volume > sums.volume * (1 + tolerance) + rounding)
                then concat('volume ', longer.volume, ' not ', sums.volume) end,
            case when longer.quote_volume < sums.quote_volume * (1 - tolerance) - rounding
                    or (held = expected
                        and longer.quote_volume > sums.quote_volume * (1 + tolerance) + rounding)
                then concat('quote volume ', longer.quote_volume, ' not ', sums.quote_volume) end,
            case when longer.trade_count < sums.trade_count
                    or (held = expected and longer.trade_count > sums.trade_count)
                then concat('trades ', longer.trade_count, ' not ', sums.trade_count) end
        ) as differs
    from longer
    left join sums
        on sums.venue = longer.venue
        and sums.instrument = longer.instrument
        and sums.long = longer.timeframe
        and sums.short = longer.short
        and sums.ts = longer.ts
),

wrong as (
    select
        *,
        lake_slot(epoch_us(ts), lake_step(timeframe), lake_anchor(timeframe, venue))
            - row_number() over (
                partition by venue, instrument, timeframe
                order by ts
            ) as run
    from compared
    where held > 0
        and differs <> ''
),

-- Longer candles that hold more than the shorter ones, of which some are missing.
partial as (
    select
        *
    from compared
    where held < expected
        and volume > held_volume * (1 + tolerance) + rounding
        and (
            held > 0
            or exists (
                select 1
                from checked_coverage as coverage
                where coverage.data_type = 'ohlcv'
                    and coverage.venue = compared.venue
                    and coverage.instrument = compared.instrument
                    and coverage.timeframe = compared.short
                    and coverage.basis in ('answer', 'archive')
                    and coverage.start_time <= compared.ts
                    and coverage.end_time >= compared.close_ts
            )
        )
),

-- One lost minute shows in the quarter, the hour and the day: the shortest of them tells.
lacking as (
    select
        *
    from partial
    where not exists (
        select 1
        from partial as narrower
        where narrower.venue = partial.venue
            and narrower.instrument = partial.instrument
            and narrower.short = partial.short
            and narrower.ts >= partial.ts
            and narrower.close_ts <= partial.close_ts
            and narrower.expected < partial.expected
    )
),

slots as (
    select
        lacking.*,
        unnest(range(lacking.expected)) as number,
        lacking.ts + to_microseconds(number * lacking.step) as short_ts
    from lacking
),

absent as (
    select
        slots.venue,
        slots.instrument,
        slots.short,
        slots.timeframe,
        slots.ts,
        any_value(slots.volume - slots.held_volume) as lost,
        any_value(slots.step) as step,
        min(slots.short_ts) as first_ts,
        max(slots.short_ts) as last_ts,
        count(*) as missing
    from slots
    left join checked_ohlcv as rows
        on rows.venue = slots.venue
        and rows.instrument = slots.instrument
        and rows.timeframe = slots.short
        and rows.ts = slots.short_ts
    where rows.ts is null
    group by slots.venue, slots.instrument, slots.short, slots.timeframe, slots.ts
),

absent_runs as (
    select
        *,
        sum(if(is_next, 0, 1)) over (
            partition by venue, instrument, short, timeframe
            order by ts
        ) as run
    from (
        select
            *,
            coalesce(
                lag(last_ts) over (partition by venue, instrument, short, timeframe order by ts)
                    + to_microseconds(step) = first_ts,
                false
            ) as is_next
        from absent
    )
),

found as (
    select
        venue,
        instrument,
        timeframe,
        min(ts) as start_ts,
        max(close_ts) as end_ts,
        count(*)::bigint as rows,
        concat(
            count(*),
            if(count(*) = 1, ' candle is', ' candles are'),
            ' not the sum of those of ',
            short,
            ': ',
            arg_min(differs, ts)
        ) as detail,
        'error' as severity
    from wrong
    group by venue, instrument, timeframe, short, run

    union all

    select
        venue,
        instrument,
        short as timeframe,
        min(first_ts) as start_ts,
        max(last_ts) + to_microseconds(any_value(step)) as end_ts,
        sum(missing)::bigint as rows,
        concat(
            'lost by the source: the candles of ',
            timeframe,
            ' hold a volume of ',
            sum(lost),
            ' more than those of ',
            short,
            ', of which ',
            sum(missing),
            if(sum(missing) = 1, ' is', ' are'),
            ' missing'
        ) as detail,
        'warning' as severity
    from absent_runs
    group by venue, instrument, short, timeframe, run
)

select
    'ohlcv' as data_type,
    venue,
    instrument,
    timeframe,
    start_ts,
    end_ts,
    rows,
    detail,
    severity
from found
order by venue, instrument, timeframe, start_ts;

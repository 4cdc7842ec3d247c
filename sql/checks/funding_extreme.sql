-- check: funding_extreme
-- version: 1
-- severity: warning
-- reads: funding_rates
-- reach: series
-- parameters: most_per_8h = 0.01: a rate of 8 hours that is extreme anywhere;
--      times_usual = 6: so many times what 99 of 100 rates of the series stay below is extreme, too;
--      least_per_8h = 0.002: what is never extreme
-- returns: one row a run of neighbouring settlements whose rate (of 8 hours, by the interval) is
--      extreme; an error where it is no number
-- blind to: rates that are wrong and usual; in series of few settlements those that are only unusual
-- why: a rate in per cent instead of a fraction, or of another interval, is a hundred or eight times
--      too large, and one such row outweighs a month of others
with settlements as (
    select
        venue,
        instrument,
        ts,
        funding_rate,
        coalesce(
            interval_hours,
            least(
                epoch(ts - lag(ts) over in_order) / 3600,
                epoch(lead(ts) over in_order - ts) / 3600
            ),
            8
        ) as hours,
        row_number() over in_order as place
    from checked_funding_rates
    window in_order as (partition by venue, instrument order by ts)
),

scaled as (
    select
        settlements.*,
        abs(funding_rate) * 8 / greatest(least(hours, 24), 1) as rate
    from settlements
),

usual as (
    select
        venue,
        instrument,
        quantile_cont(rate, 0.99) as usual
    from scaled
    where isfinite(rate)
    group by venue, instrument
),

extremes as (
    select
        scaled.venue,
        scaled.instrument,
        scaled.ts,
        scaled.funding_rate,
        scaled.hours,
        scaled.rate,
        usual.usual,
        not coalesce(isfinite(scaled.funding_rate), false) as is_nonsense,
        scaled.place - row_number() over (
            partition by
                scaled.venue,
                scaled.instrument,
                not coalesce(isfinite(scaled.funding_rate), false)
            order by scaled.ts
        ) as run
    from scaled
    left join usual
        on scaled.venue = usual.venue
        and scaled.instrument = usual.instrument
    where not coalesce(isfinite(scaled.funding_rate), false)
        or scaled.rate > coalesce(getvariable('most_per_8h')::double, 0.01)
        or scaled.rate > greatest(
            usual.usual * coalesce(getvariable('times_usual')::double, 6),
            coalesce(getvariable('least_per_8h')::double, 0.002)
        )
),

runs as (
    select
        venue,
        instrument,
        is_nonsense,
        min(ts) as start_ts,
        max(ts) + interval 1 microsecond as end_ts,
        count(*) as rows,
        arg_max(extremes, rate) as worst,
        any_value(usual) as usual
    from extremes
    group by venue, instrument, is_nonsense, run
)

select
    'funding_rates' as data_type,
    venue,
    instrument,
    null::varchar as timeframe,
    start_ts,
    end_ts,
    rows,
    if(
        is_nonsense,
        concat(rows, ' rates are no finite numbers'),
        concat(
            'a rate of ', worst.funding_rate, ' in ', worst.hours, ' h at ', worst.ts,
            '; 99 of 100 stay below ', round(usual, 8), ' in 8 h'
        )
    ) as detail,
    if(is_nonsense, 'error', 'warning') as severity
from runs
order by venue, instrument, timeframe, start_ts;

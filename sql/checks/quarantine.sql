-- check: quarantine
-- version: 1
-- severity: warning
-- reads: catalog
-- reach: series
-- parameters: none
-- returns: one row a series and reason: how many rows were refused, and of which moments they say that
--      they are
-- blind to: rows that sources left out before the lake saw them
-- why: a refused row is not held as data, so what it stood for is missing; many of one reason are a
--      reader's fault, not the venue's
with refused as (
    select
        series.data_type,
        series.venue,
        series.instrument,
        series.timeframe,
        quarantine.ts,
        quarantine.reason,
        quarantine.raw,
        quarantine.seen_at
    from lake.quarantine as quarantine
    inner join checked_series as series on quarantine.series_id = series.series_id
    where quarantine.ts is null
        or (
            quarantine.ts >= epoch_us(
                coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01')
            )
            and quarantine.ts < epoch_us(
                coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01')
            )
        )
),

reasons as (
    select
        data_type,
        venue,
        instrument,
        timeframe,
        reason,
        make_timestamp(min(ts)) as start_ts,
        make_timestamp(max(ts) + 1) as end_ts,
        count(*) as rows,
        make_timestamp(max(seen_at)) as seen_at,
        arg_max(raw, seen_at) as raw
    from refused
    group by data_type, venue, instrument, timeframe, reason
)

select
    data_type,
    venue,
    instrument,
    timeframe,
    start_ts,
    end_ts,
    rows,
    concat(
        rows, if(rows = 1, ' row was', ' rows were'), ' refused: ', reason, '; the last on ',
        strftime(seen_at, '%Y-%m-%d'), ': ', left(raw, 120)
    ) as detail
from reasons
order by venue, instrument, timeframe, start_ts, data_type, reason;

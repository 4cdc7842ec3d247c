-- check: candle_gaps
-- version: 1
-- severity: info
-- reads: catalog
-- reach: series
-- parameters: none
-- returns: one row a gap, whole, that touches the range looked at: a maximal run of missing candles
--      of one reason. An error where the lake could hold more than it does (not_fetched, failed,
--      lost_by_source, in_quarantine), information where nobody has more
-- blind to: what the catalog does not know; gap_runs recomputes it from the rows
-- why: a strategy that reads across a hole computes returns over the wrong span
select
    'ohlcv' as data_type,
    gaps.venue,
    gaps.instrument,
    gaps.timeframe,
    gaps.gap_start as start_ts,
    gaps.gap_end as end_ts,
    gaps.missing_count::bigint as rows,
    concat(gaps.reason, ': ', gaps.evidence) as detail,
    case
        when gaps.evidence = 'never asked for' then 'warning'
        when gaps.reason in ('not_fetched', 'failed', 'lost_by_source', 'in_quarantine') then 'error'
        else 'info'
    end as severity
from gaps
inner join checked_series as series
    on series.data_type = 'ohlcv'
    and series.venue = gaps.venue
    and series.instrument = gaps.instrument
    and series.timeframe = gaps.timeframe
where gaps.gap_end > coalesce(getvariable('check_since')::timestamp, timestamp '0001-01-01')
    and gaps.gap_start < coalesce(getvariable('check_until')::timestamp, timestamp '9999-01-01')
order by gaps.venue, gaps.instrument, gaps.timeframe, gaps.gap_start;

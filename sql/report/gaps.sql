-- report: gaps
-- version: 1
-- dialect: duckdb
-- reads: gaps, chosen (the frame of the series that the page is about)
-- returns: every gap of the chosen series of candles, by series and time; number is the series'
select
    chosen.number,
    gaps.gap_start,
    gaps.gap_end,
    gaps.missing_count,
    gaps.reason,
    gaps.evidence
from gaps
inner join chosen
    on chosen.data_type = 'ohlcv'
    and chosen.venue = gaps.venue
    and chosen.instrument = gaps.instrument
    and chosen.timeframe = gaps.timeframe
order by chosen.number, gaps.gap_start;

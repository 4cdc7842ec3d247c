-- check: trade_twice
-- version: 1
-- severity: error
-- reads: trades
-- reach: series
-- repair: refetch
-- parameters: none
-- returns: one row a pair of files of one series (or a file by itself) with trades that are in both,
--      by trade_id, or by trade_ref where they have none
-- blind to: one trade told under two ids
-- why: every sum over such trades is too large. Where ids go up from row to row and no two files
--      overlap none can be twice; only the others are looked at id by id, in masks of 64 first
with files as (
    select
        file_number,
        series_id,
        venue,
        instrument,
        range_start
    from checked_files
    where data_type = 'trades'
),

rows_and_before as (
    select
        file_number,
        place,
        trade_id,
        trade_ref,
        lag(trade_id) over () as id_before,
        lag(place) over () as place_before
    from checked_trade_places
),

spans as (
    select
        rows_and_before.file_number,
        min(trade_id) as first_id,
        max(trade_id) as last_id,
        bool_or(place = place_before + 1 and trade_id <= id_before) as goes_back,
        count(*) filter (trade_id is null and trade_ref is not null) as refs
    from rows_and_before
    group by rows_and_before.file_number
),

neighbours as (
    select
        spans.file_number,
        spans.goes_back,
        spans.first_id <= max(spans.last_id) over (
            partition by files.series_id
            order by spans.first_id, spans.file_number
            rows between unbounded preceding and 1 preceding
        ) as overlaps_earlier,
        spans.last_id >= min(spans.first_id) over (
            partition by files.series_id
            order by spans.first_id, spans.file_number
            rows between 1 following and unbounded following
        ) as overlaps_later
    from spans
    inner join files on spans.file_number = files.file_number
    where spans.first_id is not null
),

suspects as (
    select
        neighbours.file_number,
        files.series_id
    from neighbours
    inner join files on neighbours.file_number = files.file_number
    where neighbours.goes_back or neighbours.overlaps_earlier or neighbours.overlaps_later
),

parts as (
    select
        suspects.series_id,
        places.trade_id >> 6 as bucket,
        count(*) as rows,
        bit_or(1::ubigint << (places.trade_id & 63)::ubigint) as mask
    from checked_trade_places as places
    inner join suspects on places.file_number = suspects.file_number
    where places.trade_id is not null
    group by suspects.series_id, bucket
    having count(*) > bit_count(bit_or(1::ubigint << (places.trade_id & 63)::ubigint))
),

told as (
    select
        suspects.series_id,
        places.trade_id::varchar as name,
        places.file_number,
        places.ts
    from checked_trade_places as places
    inner join suspects on places.file_number = suspects.file_number
    inner join parts
        on suspects.series_id = parts.series_id
        and places.trade_id >> 6 = parts.bucket
),

with_refs as (
    select
        files.file_number,
        files.series_id
    from spans
    inner join files on spans.file_number = files.file_number
    where spans.refs > 0
),

repeated_refs as (
    select
        with_refs.series_id,
        hash(places.trade_ref) as digest
    from checked_trade_places as places
    inner join with_refs on places.file_number = with_refs.file_number
    where places.trade_id is null
        and places.trade_ref is not null
    group by with_refs.series_id, digest
    having count(*) > 1
),

told_refs as (
    select
        with_refs.series_id,
        places.trade_ref as name,
        places.file_number,
        places.ts
    from checked_trade_places as places
    inner join with_refs on places.file_number = with_refs.file_number
    inner join repeated_refs
        on with_refs.series_id = repeated_refs.series_id
        and hash(places.trade_ref) = repeated_refs.digest
    where places.trade_id is null
),

repeated as (
    select
        series_id,
        name,
        min(file_number) as first_file,
        max(file_number) as last_file,
        count(*) as rows,
        min(ts) as start_ts,
        max(ts) as last_ts
    from (
        from told
        union all
        from told_refs
    )
    group by series_id, name
    having count(*) > 1
),

pairs as (
    select
        first_file,
        last_file,
        min(start_ts) as start_ts,
        max(last_ts) as last_ts,
        count(*) as trades,
        sum(rows - 1)::bigint as rows,
        arg_min(name, start_ts) as name
    from repeated
    group by first_file, last_file
)

select
    'trades' as data_type,
    files.venue,
    files.instrument,
    null::varchar as timeframe,
    pairs.start_ts,
    pairs.last_ts + interval 1 microsecond as end_ts,
    pairs.rows,
    concat(
        pairs.trades, ' trades are stored more than once, ',
        if(
            pairs.first_file = pairs.last_file,
            concat('in the file of ', files.range_start::date),
            concat('in the files of ', files.range_start::date, ' and ', others.range_start::date)
        ),
        '; one is ', pairs.name
    ) as detail
from pairs
inner join files on pairs.first_file = files.file_number
inner join files as others on pairs.last_file = others.file_number
order by files.venue, files.instrument, timeframe, pairs.start_ts;

-- macro: lake_not_held
-- version: 1
-- dialect: duckdb
-- parameters: patterns (varchar[]), name (varchar): what was asked for
-- returns: a message that says what is held and looks most like it
create or replace macro lake_not_held(patterns, name) as (
    'lake: no ' || name || ' candles of ' || coalesce(array_to_string(patterns, ', '), '')
    || ' are held. '
    || case
        when len(getvariable('lake_ohlcv')) = 0 then 'The lake holds no candles yet.'
        else 'Near: '
            || array_to_string(
                list_transform(
                    list_reverse_sort(
                        list_transform(
                            getvariable('lake_ohlcv'),
                            lambda s: {
                                'likeness': jaro_winkler_similarity(
                                    coalesce(patterns[1], '') || ' ' || name,
                                    upper(s['id']) || ' ' || s['timeframe']
                                ),
                                'id': s['id'] || ' ' || s['timeframe']
                            }
                        )
                    )[:5],
                    lambda s: s['id']
                ),
                ', '
            )
            || '.'
    end
);

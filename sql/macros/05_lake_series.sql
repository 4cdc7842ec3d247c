-- macro: lake_series
-- version: 1
-- dialect: duckdb
-- parameters: patterns (varchar[]): as lake_patterns gives them; name (varchar): the timeframe
-- returns: the held candle series that match; an error that names what is held where none does
-- why: a wrong name must not look like an empty answer. Fields are read as s['x'], because s.x
--      is a column to the binder inside a macro
create or replace macro lake_series(patterns, name) as (
    case
        when
            len(getvariable('lake_ohlcv')) > 0
            and list_bool_or(
                list_transform(
                    patterns,
                    lambda pattern: pattern <> '*' and not list_bool_or(
                        list_transform(
                            getvariable('lake_ohlcv'),
                            lambda s:
                                s['timeframe'] = name
                                and (
                                    upper(s['id']) glob pattern
                                    or upper(s['instrument']) glob pattern
                                )
                        )
                    )
                )
            )
            then error(
                'lake: no ' || name || ' candles of ' || array_to_string(patterns, ', ')
                || ' are held. Near: '
                || array_to_string(
                    list_transform(
                        list_reverse_sort(
                            list_transform(
                                getvariable('lake_ohlcv'),
                                lambda s: {
                                    'likeness': jaro_winkler_similarity(
                                        patterns[1] || ' ' || name,
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
            )
        else list_filter(
            getvariable('lake_ohlcv'),
            lambda s:
                s['timeframe'] = name
                and list_bool_or(
                    list_transform(
                        patterns,
                        lambda pattern:
                            upper(s['id']) glob pattern
                            or upper(s['instrument']) glob pattern
                    )
                )
        )
    end
);

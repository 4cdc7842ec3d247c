-- macro: lake_series
-- version: 1
-- dialect: duckdb
-- parameters: patterns (varchar[]): as lake_patterns gives them; name (varchar): the timeframe
-- returns: the held candle series that match; an error that names what is held where a pattern
--          matches none ('*' may)
-- why: a wrong name must not look like an empty answer. Two traps of the binder: fields are read
--      as s['x'], because s.x is a column inside a macro; and what a macro is given is written
--      out at every use, so the matches are computed once, as the only element of a list
create or replace macro lake_series(patterns, name) as (
    list_transform(
        [
            list_filter(
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
        ],
        lambda found:
            case
                when list_bool_and(
                    list_transform(
                        patterns,
                        lambda pattern:
                            pattern = '*'
                            or coalesce(
                                list_bool_or(
                                    list_transform(
                                        found,
                                        lambda s:
                                            upper(s['id']) glob pattern
                                            or upper(s['instrument']) glob pattern
                                    )
                                ),
                                false
                            )
                    )
                )
                    then found
                else error(lake_not_held(patterns, name))
            end
    )[1]
);

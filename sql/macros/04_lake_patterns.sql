-- macro: lake_patterns
-- version: 3
-- dialect: duckdb
-- parameters: names (varchar): one id or pattern, or a list of them, in upper case: 'A.VENUE',
--      '[A.VENUE, B*]', or '[A, B].VENUE'
-- returns: a list of patterns, INSTRUMENT or INSTRUMENT.VENUE
-- why: a macro's argument has no fixed type; as text, one name and a list of them look alike
create or replace macro lake_patterns(names) as (
    list_transform(
        list_filter(
            regexp_extract_all(names, '[^\[\], '']+'),
            lambda name: not starts_with(name, '.')
        ),
        lambda name: concat(name, regexp_extract(names, '\](\..*)$', 1))
    )
);

-- macro: lake_patterns
-- version: 2
-- dialect: duckdb
-- parameters: names (varchar): one id or pattern, or a list of them as text; venue (varchar): what
--      the ids lack, or empty
-- returns: a list of upper-case patterns, INSTRUMENT or INSTRUMENT.VENUE
-- why: a macro's argument has no fixed type; as text, one name and a list of them look alike
create or replace macro lake_patterns(names, venue) as (
    list_transform(
        regexp_extract_all(upper(names), '[^\[\], '']+'),
        lambda name: concat(name, '.' || nullif(upper(venue), ''))
    )
);

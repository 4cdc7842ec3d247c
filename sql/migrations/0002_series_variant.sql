-- migration: 0002_series_variant
-- dialect: sqlite
-- since: 0.1.0
-- why: what a series may not mix: single and aggregate trades, id schemes, kinds and depths of books
-- Null where the data type knows no variants, as for candles. Footers carry it too.

alter table series add column variant text;

-- analytics: basis
-- version: 1
-- dialect: duckdb
-- parameters: spot, perp (ids), timeframe; since, until
-- returns: candle by candle, how far the perpetual (or future) closes above spot: in quote, as a
--      fraction of spot, and in basis points. Known at close_ts; only candles that both have
-- example: select ts, spot_close, perp_close, round(basis, 6) as basis, round(basis_bps, 6) as basis_bps from basis('BTCUSDT.BINANCE', 'BTCUSDT-PERP.BINANCEUSDM', '1h', until := '2024-01-01T02:00')
-- gives: 2024-01-01 00:00:00 | 100.0 | 101.0 | 1.0 | 100.0
-- gives: 2024-01-01 01:00:00 | 110.0 | 109.45 | -0.55 | -50.0
-- worked: 101 / 100 - 1 = 1 % = 100 bps; 109.45 - 110 = -0.55, which is -0.5 % of 110
create or replace macro basis(spot, perp, timeframe, since := null, until := null) as table (
    select
        held.ts,
        held.close_ts,
        held.close as spot_close,
        derived.close as perp_close,
        derived.close - held.close as basis,
        derived.close / held.close - 1 as basis_ratio,
        (derived.close / held.close - 1) * 10000 as basis_bps
    from ohlcv(spot, timeframe, since := since, until := until) as held
    inner join ohlcv(perp, timeframe, since := since, until := until) as derived
        on derived.ts = held.ts
    order by held.ts
);

"""The exchange in the box: a generator of synthetic markets and a server in Binance's format."""

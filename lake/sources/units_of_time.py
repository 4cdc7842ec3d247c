"""Times of unknown unit into microseconds, by magnitude. Pure and vectorised."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from lake.domain.times import SECOND_US

NO_TIME = np.iinfo(np.int64).min
# Times reach from 1970 to 2286 here, the span in which units cannot be confused.
_LAST_US = 10**16

Array: TypeAlias = np.ndarray[Any, Any]


def times_us(column: pa.ChunkedArray) -> Array:
    """Microseconds of a time column; nulls and impossible numbers become ``NO_TIME``."""
    is_timestamp = pa.types.is_timestamp(column.type)
    if column.null_count == 0 and column.type == pa.int64():
        plain: Array = column.to_numpy()
        if len(plain) and plain.min() >= 10**10 and plain.max() < 10**13:
            return np.asarray(plain * 1_000)  # the common case: all milliseconds
    numbers = (column.cast(pa.timestamp("us")) if is_timestamp else column).cast(pa.int64())
    values: Array = numbers.fill_null(NO_TIME).to_numpy()
    scaled = values.copy()
    if not is_timestamp:
        scaled[values < 10**10] *= SECOND_US
        scaled[(values >= 10**10) & (values < 10**13)] *= 1_000
        scaled[values >= 10**16] //= 1_000
    scaled[(values <= 0) | (scaled >= _LAST_US)] = NO_TIME
    return scaled


def are_seconds(column: pa.ChunkedArray) -> bool:
    """Whether any time is in whole seconds: from a venue that says more, something was lost."""
    if pa.types.is_timestamp(column.type) or column.null_count == len(column):
        return False
    numbers = column.drop_null().to_numpy()
    return bool(((numbers > 0) & (numbers < 10**10)).any())

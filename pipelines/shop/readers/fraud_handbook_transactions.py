"""The Fraud Detection Handbook's simulated card payments (Le Borgne, Siblini, Lebichot, Bontempi)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pipelines.core.clock import micros
from pipelines.shop.contracts import CONTRACTS, UNKNOWN_COUNTRY
from pipelines.shop.readers.reading import Reading, checked
from pipelines.shop.tables import table


def reading(files: Mapping[str, bytes], delay: timedelta) -> Reading:
    """Payments, and a chargeback for each fraud: it happened when the payment did, and is visible `delay` later.

    So a count of chargebacks with the same delay is the Handbook's terminal risk. A customer has one card; the country is
    unknown. The scenario of a fraud is never read: it is the answer.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = ["TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"]
    rows = pq.read_table(io.BytesIO(files["transactions.parquet"]), columns=columns).combine_chunks()
    ts = rows["TX_DATETIME"].cast(pa.timestamp("us")).cast(pa.int64())
    ids = _named("t", rows["TRANSACTION_ID"])
    cents = pc.cast(pc.round(pc.multiply(rows["TX_AMOUNT"], 100)), pa.int64())
    who = {
        "payment_id": ids, "card": _named("card", rows["CUSTOMER_ID"]), "customer": _named("c", rows["CUSTOMER_ID"]),
        "terminal": _named("terminal", rows["TERMINAL_ID"]), "amount_cents": cents,
    }  # fmt: skip
    payments = table(CONTRACTS["payment"], ids, ts, ts, who | {"country": pa.repeat(UNKNOWN_COUNTRY, len(ids))})
    fraud = pc.equal(rows["TX_FRAUD"], 1)
    told = {name: values.filter(fraud) for name, values in who.items()}
    when = ts.filter(fraud)
    chargebacks = table(CONTRACTS["chargeback"], told["payment_id"], when, pc.add(when, micros(delay)), told)
    return checked({"payment": payments, "chargeback": chargebacks})


def _named(prefix: str, numbers: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(prefix, pc.cast(numbers, pa.string()), "")

"""Takes transactions over HTTP as most people would write it: a pydantic model, a route, an INSERT committed a request.

`python fastapi_sqlite.py PORT FILE`. No identity of lines, no shards, no consumers: only the durable write, so it is asked less than the API.
"""

from __future__ import annotations

import sqlite3
import sys
from datetime import datetime

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
FILE = sys.argv[2]


class Transaction(BaseModel):
    """A line, as the dataset names its fields."""

    InvoiceNo: str
    StockCode: str
    Description: str | None
    Quantity: int
    InvoiceDate: datetime
    UnitPrice: float
    CustomerID: str | None
    Country: str


@app.post("/transactions")
def take(lines: list[Transaction]) -> dict[str, int]:
    """Store the lines, on the disk before the answer."""
    with sqlite3.connect(FILE, timeout=60) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executemany(
            "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [tuple(str(value) for value in line.model_dump().values()) for line in lines],
        )
    connection.close()
    return {"accepted": len(lines)}


if __name__ == "__main__":
    with sqlite3.connect(FILE) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE lines (invoice, code, description, quantity, date, price, customer, country)")
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", loop="uvloop", http="httptools")

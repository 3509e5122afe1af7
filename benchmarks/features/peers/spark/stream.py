"""Spark Structured Streaming on this machine: the same tiles as grouped sums, checkpointed, each batch upserted into SQLite.

The log is a folder of files of five thousand lines, one a batch. Every event becomes a row per series that counts it; sums are
absolute, so a batch that is done again changes nothing.
"""

import json
import random
import shutil
import sqlite3
import tempfile
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

BATCH = 5000
MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 24 * 60 * MINUTE
WANTED = (
    ("customer", 5 * MINUTE, "view"), ("customer", HOUR, None), ("customer", DAY, "purchase"), ("customer", 6 * HOUR, "purchase"),
    ("customer", 6 * HOUR, None), ("item", HOUR, "view"), ("item", 6 * HOUR, "purchase"),
)
SCHEMA = "id string, ts long, arrived long, customer long, item long, what string, price_cents long"
UPSERT = "INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?, ?)"


def prepare(folder, events):
    work = Path(tempfile.mkdtemp())
    lines = (folder / "events.jsonl").read_text().splitlines()[: int(events)]
    (work / "log").mkdir()
    for number, at in enumerate(range(0, len(lines), BATCH)):
        (work / "log" / f"{number:06d}.json").write_text("\n".join(lines[at : at + BATCH]) + "\n")
    with sqlite3.connect(work / "tiles.db") as tiles:
        tiles.execute("CREATE TABLE tiles (series, key, start, n, total, PRIMARY KEY (series, key, start)) WITHOUT ROWID")
    spark = (
        SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2")
        .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
        .config("spark.local.dir", str(work / "spark")).getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark, work, len(lines)


def run(ready):
    spark, work, count = ready
    events = spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).json(str(work / "log"))
    series = [
        F.when(F.lit(True) if what is None else F.col("what") == what, F.struct(
            F.lit(number).alias("series"), F.col(by).alias("key"), (F.col("ts") - F.col("ts") % grain).alias("start")))
        for number, (by, grain, what) in enumerate(WANTED)
    ]
    rows = events.select("price_cents", F.explode(F.filter(F.array(*series), lambda one: one.isNotNull())).alias("tile"))
    tiles = rows.groupBy("tile.series", "tile.key", "tile.start").agg(F.count("*").alias("n"), F.sum("price_cents").alias("total"))

    def store(batch, _):
        with sqlite3.connect(work / "tiles.db") as connection:
            connection.executemany(UPSERT, batch.collect())

    query = (
        tiles.writeStream.outputMode("update").foreachBatch(store).option("checkpointLocation", str(work / "checkpoint"))
        .trigger(availableNow=True).start()
    )
    query.awaitTermination()
    return work, count


def facts(result):
    """How many of three hundred tiles differ from what a plain loop counts."""
    work, count = result
    lines = [line for path in sorted((work / "log").glob("*.json")) for line in path.read_text().splitlines()]
    events = [json.loads(line) for line in lines]
    with sqlite3.connect(work / "tiles.db") as connection:
        tiles = connection.execute("SELECT * FROM tiles").fetchall()
    wrong = 0
    for series, key, start, n, total in random.Random(1).sample(tiles, min(300, len(tiles))):
        by, grain, what = WANTED[series]
        mine = [e["price_cents"] for e in events if e[by] == key and start <= e["ts"] < start + grain and what in (None, e["what"])]
        wrong += (len(mine), sum(mine)) != (n, total)
    return {"events": count, "wrong": wrong}


def keep(result, path):
    shutil.rmtree(result[0])

"""One definition of a feature, run by two engines that agree to the last cell: DuckDB over tables, SQLite tiles over a stream."""

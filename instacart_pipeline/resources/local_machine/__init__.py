"""What the local backends share: the lake in a folder, queries over it in DuckDB, SQLite files, sweeping."""

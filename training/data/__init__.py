"""CSV files and prompt logs in, checked and typed values out."""

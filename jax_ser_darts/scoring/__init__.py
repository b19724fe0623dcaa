"""UA, WA, F1, their intervals, and paired tests: pure, NumPy and SciPy only."""

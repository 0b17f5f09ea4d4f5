"""Rivals for the C steps: the obvious NumPy, SciPy and scikit-learn ways of doing the same.

Each takes the list of weight arrays (float32), finds what has to be stored (survivors' positions in
order, indices, integer levels) as a C step does, and returns the decoded weights.
"""

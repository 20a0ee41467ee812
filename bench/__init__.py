"""Side-by-side measurements: ours beside a stated peer or floor, in one run, as ratios.

`python -m bench [name ...]` prints one table; nothing here is a test, and nothing is timed by one.
"""

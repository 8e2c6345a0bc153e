"""From a plan and a frame of runs to a report that can go into a paper.

render.py writes the report, text.py prints its tables. Importing the package imports neither.
"""

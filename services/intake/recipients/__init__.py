"""Recipients of the data (Art. 19): a row for each whom a request concerns, and one digest a day for each of them.

May import `letters` and lower packages.
"""

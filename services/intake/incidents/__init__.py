"""Incidents: data breaches, documented and reported (Art. 33, 34; 47 CFR 64.2011).

May import `mail` and lower packages.
"""

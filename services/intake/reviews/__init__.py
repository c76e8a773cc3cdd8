"""Reviews of the privacy team that are about no single request.

Legal holds, retention runs, quarantined systems and conflicts with the register of numbers.
Each module reads its rows and has one function per decision; the actions call them.
May import `packages` and lower packages.
"""

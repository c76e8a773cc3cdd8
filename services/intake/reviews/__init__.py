"""Reviews of the privacy team that are about no single request.

`holds`: legal holds. `rows`: retention runs, quarantined systems and conflicts with the register of numbers.
May import `packages` and lower packages.
"""

"""Commands of `dsr` for operators: API keys, systems, the policy, the register of numbers, conformance of a team.

They run where the settings of the services are, and may use database, keys and broker.
"""

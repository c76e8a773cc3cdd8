"""What becomes of letters on their way: sent, posted, returned, given up, and what a person does with them.

May import `store` and lower packages.
"""

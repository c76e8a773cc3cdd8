"""The product from outside: scenarios that start at public doors and look at public results."""

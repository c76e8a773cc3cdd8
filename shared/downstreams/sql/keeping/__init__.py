"""What an erasure leaves: rows that a rule, a hold or a state keeps, reduced to what must stay, each with its day."""

"""Systems whose own team does the work: tasks and replies over the bus."""

"""The demonstration: the whole product on this machine, every right asked for, every answer checked in the data."""

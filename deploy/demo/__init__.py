"""The demonstration: the whole product on this machine, six rights asked for, every answer checked in the data."""

"""The legal scenarios inside the process: services over one database, with a clock that is set."""

"""A request as an aggregate: its lifecycle, what moves it, and what is told of it; pure, no clock, no database."""

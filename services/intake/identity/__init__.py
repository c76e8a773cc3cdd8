"""Who somebody is: what was proved of an identity, how it is proved, and whether two are one person."""

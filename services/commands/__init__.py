"""Commands of ``dsr`` about systems, the policy and the register of numbers; each runs where the settings are."""

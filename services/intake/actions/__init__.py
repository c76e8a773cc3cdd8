"""What members of staff decide: one registry of actions, one table of approvals, one route."""

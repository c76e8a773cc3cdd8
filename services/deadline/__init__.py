"""Deadline: owns time (Art. 12(3)): due dates, warnings, overdue escalation."""

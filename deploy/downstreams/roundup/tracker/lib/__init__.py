"""What Roundup finds when it loads the tracker's own modules."""

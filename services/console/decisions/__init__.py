"""What people decide in the console: each a row of a table, with what it will do in words before it is done."""

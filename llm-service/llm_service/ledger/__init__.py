"""What was used and what it cost: a row per request and per attempt, and their sums by hour and day."""

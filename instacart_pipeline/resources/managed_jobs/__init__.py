"""How any job on AWS is started once, watched, stopped with its run, and found again by a retry."""

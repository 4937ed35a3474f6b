"""Methods: hyperparameters that fit a task, one file per idea."""

"""A pruned network where it is used: compact and sparse forms, TFLite files, and what each costs."""

"""What a person sees of a run: the table of rounds, how fast it goes, and live displays for terminals and notebooks."""

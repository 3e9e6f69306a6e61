"""What tfimp costs, measured: each module has a `measure` that returns numbers and says what they compare."""

"""``python -m tfimp.cli`` is the command ``tfimp``."""

from tfimp.cli import main

if __name__ == "__main__":
    main()

"""`python -m zaowu`, and `torchrun ... -m zaowu`: the command line without its script."""

from zaowu.cli import main

if __name__ == "__main__":
    main()

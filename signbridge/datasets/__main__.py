"""`python -m signbridge.datasets`: the data card of a dataset."""

from signbridge.core.command_line import run
from signbridge.data_card import main

if __name__ == "__main__":
    run(main)

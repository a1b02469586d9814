"""`python -m signbridge.datasets`: the data card of a dataset, of single images or of clips."""

from signbridge import clips_card, data_card
from signbridge.core.command_line import run


def main() -> None:
    """Print the card of the dataset that the first argument or params.yaml names, and write its sheet."""
    name = data_card.named_dataset()
    of_its_kind = clips_card if clips_card.is_of_clips(name) else data_card
    of_its_kind.show(name)


if __name__ == "__main__":
    run(main)

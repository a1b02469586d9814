"""What is the motion miniature taught to say? One word a question: the shape, the place in a still, the movement."""

from models.motion_miniature.drawings import FRAMES
from signbridge.clips.movements import SIGNS
from signbridge.vlm.random_weights import IMAGE_TOKEN

# LLaVA-1.5's conversation, with the frames of a clip one after another, each on a line of its own.
FRAME = f"{IMAGE_TOKEN}\n"
CLIP = FRAME * FRAMES
MOVEMENT_PROMPT = "USER: {clip}Which way does the hand move? Answer with one word.\nASSISTANT:"
SHAPE_PROMPT = "USER: {clip}What shape is the hand? Answer with one word.\nASSISTANT:"
PLACE_PROMPT = "USER: {clip}Where is the hand? Answer with one word.\nASSISTANT:"

# Of a clip: of the bag of its hand shapes. Of a still: of the hand shape that it shows.
SHAPES = {
    "A": "Fist",
    "S": "Fist",
    "B": "Palm",
    "C": "Cup",
    "D": "Point",
    "I": "Little",
    "L": "Corner",
    "V": "Peace",
    "W": "Three",
    "Y": "Call",
    "B+S": "Grip",
    "S+V": "Snip",
}
MOVEMENTS = {movement: movement.capitalize() for movement in dict.fromkeys(sign.movement for sign in SIGNS.values())}
PLACES = ("Centre", "East", "West", "South", "North")
_CENTRE = 0.06  # farther than this share of the frame from the middle of the movement, the hand is not in its centre


def place_of(right: float, down: float) -> str:
    """Where a still shows the hand, seen from the middle of its clip's movement; both as shares of the frame."""
    if max(abs(right), abs(down)) < _CENTRE:
        return "Centre"
    if abs(right) > abs(down):
        return "East" if right > 0 else "West"
    return "South" if down > 0 else "North"


def vocabulary() -> list[str]:
    """Texts that hold every word of the lessons, for the tokenizer to learn from."""
    prompts = [prompt.format(clip=FRAME) for prompt in (MOVEMENT_PROMPT, SHAPE_PROMPT, PLACE_PROMPT)]
    return [*prompts, "".join(f" {word}" for word in answers())]


def answers() -> list[str]:
    """Every word that is an answer, each once."""
    return list(dict.fromkeys([*SHAPES.values(), *PLACES, *MOVEMENTS.values()]))

"""The model behind the page: loaded once, one picture at a time, and what each picture gives."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache
from typing import NamedTuple

from PIL import Image

from signbridge.core.errors import SignBridgeError
from signbridge.demo.familiarity import Comparison, Familiarity
from signbridge.demo.neighbours import Nearest, Neighbourhood
from signbridge.demo.reading import Reading, read
from signbridge.demo.study import DemoStudy, Place
from signbridge.demo.uploads import prepared
from signbridge.vlm.extraction import Reader

log = logging.getLogger(__name__)

CELLS_HELD = 24  # sites and positions whose neighbourhoods stay in memory


class Picture(NamedTuple):
    """What a visitor shows."""

    image: Image.Image  # RGB, upright
    notes: list[str]  # what was done to it, one sentence each
    of_sample: bool = False  # one of the sample's own images, shown as `extract` showed it


class Analysis:
    """One study and its model. Readings from several threads wait for each other; panels do not."""

    def __init__(self, study: DemoStudy, open_reader: Callable[[], Reader]):
        """Begin to load the model in the background: `open_reader` is called once, in a thread of its own."""
        self.study = study
        self.neighbourhood = lru_cache(maxsize=CELLS_HELD)(self._neighbourhood)
        self._one_at_a_time = threading.Lock()
        self._reader: Future[Reader] = Future()
        self._comparison: Future[Comparison] = Future()
        self._of_examples: dict[int, Reading] = {}
        self._ended = threading.Event()
        threading.Thread(target=self._open, args=(open_reader,), daemon=True).start()

    @property
    def is_loading(self) -> bool:
        """Whether the model is still being loaded."""
        return not self._reader.done()

    def end(self) -> None:
        """The program ends: if the model is still being loaded, that it fails now is no error."""
        self._ended.set()

    def reader(self) -> Reader:
        """The loaded model, once it is. Raises what loading it raised."""
        return self._reader.result()

    def read(self, picture: Picture, like_dataset: bool) -> Reading:
        """The model's words and the probes' letters; `like_dataset` makes the picture like the sample's first."""
        convert = like_dataset and not picture.of_sample
        image = prepared(picture.image, self.study.format) if convert else picture.image
        reader = self.reader()
        with self._one_at_a_time:
            start = time.perf_counter()
            reading = read(self.study, reader, image)
            log.info("Read a picture in %.2f s.", time.perf_counter() - start)
        return reading

    def familiarity(self, reading: Reading) -> Familiarity:
        """How unusual the picture is beside the sample, at the site where it is most so."""
        return self._comparison.result().familiarity(reading.vectors, reading.photo)

    def nearest(self, reading: Reading, place: Place) -> Nearest:
        """The images of the sample's other photos that lie nearest at `place`."""
        return self.neighbourhood(place).nearest(reading.vectors[place], reading.photo)

    def is_blind(self, place: Place) -> bool:
        """Whether the vectors at `place` are the same whatever is shown."""
        return self.neighbourhood(place).is_blind

    def example(self, index: int) -> Picture:
        """One of the study's examples."""
        row = self.study.examples().iloc[index]
        return Picture(self.study.image(row.image), [], of_sample=True)

    def read_example(self, index: int) -> Reading:
        """What the model makes of one of the study's examples, which is found out once."""
        if index not in self._of_examples:
            self._of_examples[index] = self.read(self.example(index), like_dataset=True)
        return self._of_examples[index]

    def _neighbourhood(self, place: Place) -> Neighbourhood:
        return Neighbourhood(self.study.vectors(place), self.study.sample["photo"].to_numpy(), self.study.probes[place])

    def _open(self, open_reader: Callable[[], Reader]) -> None:
        try:
            reader, study = open_reader(), self.study
            log.info("Comparing the sample's images with one another.")
            photos = study.sample["photo"].to_numpy()
            self._comparison.set_result(Comparison(study.vectors, study.probes, photos))
            self._reader.set_result(reader)  # last: from now on pictures are read
            log.info("Ready.")
        except Exception as error:  # whoever asks for the reader is told too
            if self._ended.is_set():
                return
            log.error("error: the model cannot be loaded: %s", error, exc_info=not isinstance(error, SignBridgeError))
            self._reader.set_exception(error)

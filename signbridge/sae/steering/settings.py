"""How far steering by features goes: the section `sae_steering` of params.yaml."""

from signbridge.causal.steering import Doses
from signbridge.causal.sweeps import Sweeps
from signbridge.params import Section


class SaeSteeringSweep(Section):
    """What of the section `sae_steering` differs between the sweeps."""

    of_classes: Doses
    of_concept: Doses
    of_pretrained: Doses


class SaeSteeringParams(Sweeps[SaeSteeringSweep]):
    """The section `sae_steering`."""

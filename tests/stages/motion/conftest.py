"""The small models of every family that read clips, for tests of stages."""

from tests.motion.conftest import entry_of_family, family_folders  # noqa: F401

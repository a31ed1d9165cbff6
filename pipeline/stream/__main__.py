"""`python -m pipeline.stream`: a stream worker with the settings of the environment."""

from pipeline.runtime.settings import Settings
from pipeline.stream.app import main

main(Settings())

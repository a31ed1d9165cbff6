"""`python -m pipeline.stream`: a stream worker with the settings of the environment."""

import gc
import os
import sys

# What is imported stays: a sixth of the time it takes would go into looking for garbage in it. `main` enables it again.
gc.disable()

from pipeline.runtime.environment import BadEnvironment, read_settings  # noqa: E402
from pipeline.runtime.private_files import make_files_private  # noqa: E402
from pipeline.runtime.settings import WorkerSettings  # noqa: E402
from pipeline.stream.app import main  # noqa: E402

make_files_private()
try:
    settings = read_settings(WorkerSettings, os.environ)
except BadEnvironment as error:
    sys.exit("\n".join(error.problems))
main(settings)

"""`python -m broker.main` runs a worker, with settings from the environment, for the parent process."""

from broker.config import Settings
from broker.main.worker import run_worker

if __name__ == "__main__":
    run_worker(Settings())

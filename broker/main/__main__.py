"""`python -m broker.main` is a worker with settings from the environment; the parent process starts it so."""

from broker.config import Settings
from broker.main.worker import run_worker

if __name__ == "__main__":
    run_worker(Settings())

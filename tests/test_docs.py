"""The documentation: it builds without a warning, and what it names is there."""

import re
import subprocess
import sys

import pytest
import yaml

from tests.conftest import REPOSITORY

PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
READ_ON_ITS_OWN = [REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")]
FILE = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|sh|md|ya?ml|png))`")
DOCUMENTED_FOR_PLUGINS = (
    "diffusion.loop.EditInputs",
    "diffusion.schedules.Schedule",
    "models.base.DiffusionModel",
    "settings.Settings",
)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)[^)]*\)")


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "site" / "python" / "index.html").read_text(encoding="utf-8")
    assert all(f'id="piebench_eval.{name}"' in reference for name in ("run", "score", "table", "edit"))
    plugin = (tmp_path / "site" / "extending" / "index.html").read_text(encoding="utf-8")
    assert "SharedController" in plugin and "FixedPointSettings" in plugin
    assert all(f'id="piebench_eval.{name}"' in plugin for name in DOCUMENTED_FOR_PLUGINS)


def test_the_readme_is_a_screen_and_a_half():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(readme.encode()) <= 5500
    assert "\npip install -e '.[test]' && bash scripts/test.sh\n" in readme


@pytest.mark.parametrize("page", [*READ_ON_ITS_OWN, *PAGES], ids=lambda page: page.name)
def test_files_and_links_of_a_page_are_there(page):
    text = page.read_text(encoding="utf-8")
    for name in FILE.findall(text):
        assert (REPOSITORY / name).exists() or (REPOSITORY / "piebench_eval" / name).exists(), name
    for name in LINK.findall(text):
        assert (page.parent / name).exists(), name


def test_the_architecture_tells_of_every_package():
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    packages = {file.parent.name for file in (REPOSITORY / "piebench_eval").glob("*/__init__.py")}
    assert {name for name in packages if f"**`{name}/`**" not in page} == set()


def test_every_metric_of_the_package_has_its_equation_s_section():
    from piebench_eval.metrics import METRICS

    page = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    of_region = re.compile(r"^(psnr|lpips|mse|ssim)_edit_part$")
    columns = {of_region.sub(r"\1", name) for name in METRICS.names()}
    assert not [column for column in columns if f"`{column}`" not in page]


def test_the_workflow_and_the_test_script_make_the_same_checks():
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    ran = "\n".join(step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"])
    script = (REPOSITORY / "scripts" / "test.sh").read_text(encoding="utf-8")
    for check in ("ruff check .", "ruff format --check .", "mypy"):
        assert f"\n{check}\n" in script and check in ran
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    assert matrix == {"python": ["3.11", "3.12", "3.13"]}
    baseline = re.search(r"--baseline (\S+)", ran)
    assert baseline is not None and (REPOSITORY / baseline[1]).exists()


def test_the_hooks_are_the_test_script_s_checks():
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    script = (REPOSITORY / "scripts" / "test.sh").read_text(encoding="utf-8")
    entries = [hook["entry"] for repo in config["repos"] for hook in repo["hooks"]]
    assert len(entries) == 3
    for entry in entries:
        assert entry.removesuffix(" --force-exclude") in script.replace(" .\n", "\n")

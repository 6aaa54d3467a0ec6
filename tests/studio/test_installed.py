"""Without Gradio, the studio says how to install it, before anything heavy is imported."""

import subprocess
import sys

WITHOUT_GRADIO = """
import sys
sys.modules["gradio"] = None  # as if it were not installed
from piebench_eval.cli.app import main
sys.argv = ["piebench", "studio", "--port", "0"]
try:
    main()
finally:
    assert "torch" not in sys.modules
"""


def test_without_gradio_one_line_says_how_to_install_it():
    done = subprocess.run([sys.executable, "-c", WITHOUT_GRADIO], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: the studio needs Gradio; pip install 'piebench-eval[studio]'"

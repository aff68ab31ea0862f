"""How the site is built: `make docs`, which executes every tutorial and takes a warning for an error."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from gsdyn import __version__  # noqa: E402

project = "gsdyn"
author = "the authors of gsdyn"
copyright = "the authors of gsdyn, Apache-2.0"
version = release = __version__

extensions = ["myst_nb", "sphinx_copybutton", "_site"]
exclude_patterns = ["_build", "_site"]
suppress_warnings = ["ref.python"]  # two modules may have a class of one name; either is near enough for a type

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = True

# tutorials: pages with cells, executed in a folder of their own, results kept until the page changes
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "executed")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_ipywidgets_js = {}

python_maximum_signature_line_length = 88
highlight_language = "default"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "sphinx_book_theme"
html_title = f"gsdyn {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_build/extra"]  # the report that the first page shows: `make docs` computes it
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_navbar_depth": 1,
    "home_page_in_toc": True,
    # the side bar has the search: no bar above the page that repeats it
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
}
html_copy_source = False
html_last_updated_fmt = None

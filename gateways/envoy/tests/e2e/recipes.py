"""The recipes of docs/guides/recipes.md, as they are printed there."""

import pathlib
import re

import stack
import yaml
from gateway import settings

TEXT = (pathlib.Path(__file__).parents[4] / "docs/guides/recipes.md").read_text()
BLOCKS = dict(re.findall(r"^```yaml\n# recipe: ([^\n]*)\n(.*?)^```", TEXT, re.M | re.S))


def start(g, name, ports=None, replace=(), alter=None):
    """Starts a gateway by a recipe. `ports` are those of its clusters.

    `replace` holds (old, new) pairs for its text, and `alter` changes the whole configuration.
    """
    text = BLOCKS[name]
    for old, new in replace:
        assert old in text
        text = text.replace(old, new)
    recipe = yaml.safe_load(text)
    clusters = [stack.cluster(port=(ports or {})[each["name"]], **each) for each in recipe.pop("clusters", [])]
    g.configure(
        filters=recipe.pop("http_filters", []),
        routes=recipe.pop("routes", []),
        clusters=clusters,
    )
    of_host = recipe.pop("typed_per_filter_config", None)
    if of_host is not None:
        for host in stack.hosts(g.envoy.configuration):
            host["typed_per_filter_config"] = of_host
    fields = settings(**recipe.pop("tokenpin"))
    assert not recipe, "the test runs all of it"
    if alter is not None:
        alter(g.envoy.configuration)
    g.start(fields)

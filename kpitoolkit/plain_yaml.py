"""YAML files read safely: plain values, no tags, no key stated twice; what cannot be read is said with its place."""

from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.resolver import Resolver

from kpitoolkit.errors import Faults


class _Loader(yaml.SafeLoader):
    """PyYAML's own reader."""


if yaml.__with_libyaml__:
    from yaml.cyaml import CParser

    class _FastLoader(Composer, CParser, SafeConstructor, Resolver):
        """libyaml's parser, five times as fast. Nodes are composed in Python: too deep a file is an error, no crash."""

        def __init__(self, stream: str):
            CParser.__init__(self, stream)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)

else:
    _FastLoader = _Loader


def _mapping_once(loader: SafeConstructor, node: yaml.MappingNode, deep: bool = False) -> dict:
    seen: set = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise ConstructorError(None, None, f"'{key}' is stated twice", key_node.start_mark)
        seen.add(key)
    return SafeConstructor.construct_mapping(loader, node, deep)


for _kind in {_Loader, _FastLoader}:
    _kind.add_constructor(Resolver.DEFAULT_MAPPING_TAG, _mapping_once)


def load(path: Path) -> Any:
    """Read a YAML file safely: no tags, no key stated twice.

    Raises
    ------
    Faults
        With the line and column of what cannot be read.
    """
    try:
        return _values(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        tag = "YAML tags are not read: write plain values. " if "tag" in str(error.problem) else ""
        raise Faults(path.name, [f"{where}{tag}{error.problem}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Faults(path.name, [f"is not YAML in UTF-8: {error}"]) from error
    except RecursionError as error:
        raise Faults(path.name, ["is nested too deeply to be read. Write lists and names within few levels"]) from error


def _values(text: str) -> Any:
    if "\t" not in text:  # libyaml takes tabs that PyYAML refuses: a file is refused wherever it is read
        try:
            return yaml.load(text, Loader=_FastLoader)
        except yaml.YAMLError:
            pass  # PyYAML's own words say more of what is wrong
    return yaml.load(text, Loader=_Loader)

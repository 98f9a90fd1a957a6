"""What is wrong with a config, in words for the person who wrote it. Pure.

Pydantic names the bound that was broken; a person wants the whole range, the right spelling, and
the TOML to write. The model's JSON schema knows all of that.
"""

import difflib
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from agent.contract.ids import DEVICE_PATTERN, NAME_PATTERN
from agent.contract.redact import redacted

_PATTERNS: Final = {
    DEVICE_PATTERN: "use a-z, 0-9 and '-', at most 63, a letter or digit first",
    NAME_PATTERN: "use a-z, 0-9, '_' and '-', at most 63, a letter or digit first",
}
_TYPES: Final = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text in quotes",
    "array": "a list",
}
_SHOWN: Final = 60
"""Characters of a wrong value that are repeated."""
_LOC = tuple[int | str, ...]


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Say the first problem in one line: key, what is allowed, what is there.

    Args:
        error: From validating against `model`.
        model: The whole document's model.
    """
    problem = error.errors(include_url=False)[0]
    schema = model.model_json_schema()
    loc, kind, value = problem["loc"], problem["type"], problem["input"]
    table = _at(schema, loc[:-1])
    if kind == "missing":
        return f"{_place(loc)}: required, but not there"
    if kind == "extra_forbidden":
        return f"{_place(loc)}: no such key; {_spelling(str(loc[-1]), table)}"
    if kind == "value_error":
        words = problem["msg"].removeprefix("Value error, ")
    else:
        words = allowed(_at(schema, loc), loc) or problem["msg"]
    place = f"{_place(loc)}: " if loc else ""
    return f"{place}{words}{_got(value)}"[:400]


def allowed(schema: dict[str, Any], loc: _LOC) -> str:
    """Say what a place of the document may hold; empty where the schema has no short word."""
    if "enum" in schema:
        return "use one of " + ", ".join(f'"{v}"' for v in schema["enum"])
    if "pattern" in schema:
        return _PATTERNS.get(schema["pattern"], f"must match {schema['pattern']}")
    if "properties" in schema:
        return f"must be a table: [{_place(loc)}]"
    if schema.get("items", {}).get("properties") and len(loc) == 1:
        return f"must be a list of tables: write [[{loc[0]}]], one for each"
    kind = _TYPES.get(schema.get("type", ""), "")
    return f"must be {kind}{_range(schema)}" if kind else ""


def _range(schema: dict[str, Any]) -> str:
    if schema["type"] in ("integer", "number"):
        low, high = schema.get("minimum"), schema.get("maximum")
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        if above is not None and below is not None:
            return f" above {_short(above)} and below {_short(below)}"
        if above is not None:
            return f" above {_short(above)}, at most {_short(high)}"
        return "" if low is None else f" in {_short(low)}..{_short(high)}"
    name = "Items" if schema["type"] == "array" else "Length"
    low, high = schema.get(f"min{name}"), schema.get(f"max{name}")
    unit = "items" if name == "Items" else "characters"
    if low is None and high is None:
        return ""
    if high is None:
        return f" of at least {low} {unit}"
    return f" of {high} {unit}" if low == high else f" of {low or 0} to {high} {unit}"


def _short(value: float | None) -> str:
    return "any" if value is None else f"{value:.15g}"


def _spelling(key: str, table: dict[str, Any]) -> str:
    known = list(table.get("properties", {}))
    near = difflib.get_close_matches(key, known, 1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _at(schema: dict[str, Any], loc: _LOC) -> dict[str, Any]:
    """Walk down the schema; {} where the place is not in it."""
    definitions = schema.get("$defs", {})
    here = schema
    for step in loc:
        here = _resolved(here, definitions)
        if isinstance(step, str):
            here = here.get("properties", {}).get(step, {})
        else:
            first = here.get("prefixItems", [])
            here = first[step] if step < len(first) else here.get("items", {})
    here = _resolved(here, definitions)
    if isinstance(items := here.get("items"), dict):
        here = {**here, "items": _resolved(items, definitions)}
    return here


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    for option in schema.get("anyOf", []):
        if option.get("type") != "null":  # TOML has no null, so nobody is told of it
            return _resolved(option, definitions)
    reference = str(schema.get("$ref", ""))
    return definitions[reference.rpartition("/")[2]] if reference else schema


def _place(loc: _LOC) -> str:
    return ".".join(str(step) for step in loc)


def _got(value: object) -> str:
    if isinstance(value, dict) or value is None:
        return ""
    if isinstance(value, str):
        return f" (got {redacted(value)[:_SHOWN]!r})"
    return f" (got {redacted(str(value))[:_SHOWN]})"

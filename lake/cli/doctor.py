"""doctor: files against the catalog, and which settings are in force."""

from __future__ import annotations

from lake.cli.arguments import DIRECT, HERE, Place
from lake.cli.output import Row, print_rows

_FOUND = 3


def doctor(
    *,
    deep: bool = False,
    repair: bool = False,
    place: Place = HERE,
    json: bool = False,
) -> int:
    """Compare the files with the catalog; show the settings in force and where they come from.

    Exits with 3 where something is wrong and was not repaired.

    For example:

      lake doctor --deep --repair

    Args:
        deep: Read every page of every file, and compare checksums.
        repair: Mend what can be mended without losing a row; say what was done.
        json: Print one JSON object per finding.
    """
    from lake.storage.doctor import examine

    root = place.root()
    settings = DIRECT.settings(root)
    with place.open() as storage:
        if not json:
            print(f"lake {storage.lake_id} at {storage.root}")
            rows: list[Row] = [
                {"setting": name, "value": value, "from": settings.origins[name]}
                for name, value in settings.values.items()
            ]
            print_rows(rows, as_json=False, empty="")
            print()
        findings = examine(storage, deep=deep, repair=repair)
    found: list[Row] = [
        {
            "severity": each.severity,
            "what": each.what,
            "path": each.path,
            "repaired": each.repaired,
            "remedy": each.remedy,
        }
        for each in findings
    ]
    print_rows(found, as_json=json, empty="files and catalog agree")
    wrong = any(each.severity == "error" and not each.repaired for each in findings)
    return _FOUND if wrong else 0

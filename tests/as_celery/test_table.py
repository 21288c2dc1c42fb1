"""Every name, setting, command and option of Celery is there, or has words for what to use; the page says so."""

from tests.as_celery import table


def test_every_name_is_accounted_for():
    unaccounted, stale = [], []
    for module, why, _, missing in table.names():
        known = table.NAMES_WITHOUT.get(module, {})
        if why == "" and table.public(module):
            unaccounted.append(module)
        unaccounted += [f"{module}.{name}" for name in missing if name not in known]
        stale += [f"{module}.{name}" for name in known if table.has(module, name) or not table.real(module, name)]
    assert unaccounted == []
    assert stale == [], "take these off NAMES_WITHOUT"


def test_every_module_without_is_one_of_celery():
    assert set(table.WITHOUT) - set(table.modules()) == set()
    named = {f"{module}.{name}" for module in table.modules() for name in table.public(module)}
    assert set(table.DIFFERS) - named == set(), "take these off DIFFERS"


def test_every_attribute_is_accounted_for():
    unaccounted, stale = {}, {}
    for label, _, missing in table.attributes():
        known = table.ATTRIBUTES_WITHOUT.get(label, {})
        unaccounted[label] = [name for name in missing if name not in known]
        stale[label] = [name for name in known if name not in missing]
    assert {label: names for label, names in unaccounted.items() if names} == {}
    assert {label: names for label, names in stale.items() if names} == {}, "take these off ATTRIBUTES_WITHOUT"


def test_every_setting_is_known():
    assert table.settings()[2] == []


def test_every_command_and_option_is_accounted_for():
    absent = [name for name, there in table.commands() if not there]
    assert [name for name in absent if name not in table.COMMANDS and name not in table.OPTIONS] == []
    stale = [name for name in (*table.COMMANDS, *table.OPTIONS) if name not in absent]
    assert stale == [], "take these off COMMANDS and OPTIONS"


def test_the_page_has_the_tables():
    text = table.PAGE.read_text()
    found = text.partition(table.BEGIN)[2].partition(table.END)[0].strip()
    wrong = set(found.split("\n")) ^ set(table.page().split("\n"))
    assert wrong == set(), "docs/reference/from-celery.md is not up to date: run python -m tests.as_celery.table"
